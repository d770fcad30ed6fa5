/** An account with sessions and a clock of its own, for tests of what is deleted when. */

import { silentLogger } from "../../src/base/logger.ts";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../../src/wire/ids.ts";
import { RetentionJob, type RetentionReport } from "../../src/upstream/retention-job.ts";
import type { TestDatabase } from "./database.ts";
import { Hub } from "../../src/feed/hub.ts";

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export type SessionParts = {
  position?: number;
  state?: number;
  kind?: "v3" | "v2" | "connection";
  takesPart?: boolean;
  acked?: number;
  presence?: boolean;
  idleMs?: number;
};

export class RetentionFixture {
  readonly db: TestDatabase;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** What the job takes for now, ms; begins at the real time. */
  now = Date.now();

  private constructor(db: TestDatabase, account: AccountNo, device: DeviceNo) {
    this.db = db;
    this.account = account;
    this.device = device;
  }

  /** Empties the database and makes an account whose first v2 answer is in, with one device that has a live token. */
  static async make(db: TestDatabase): Promise<RetentionFixture> {
    const tables = await db.sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'pgmigrations'`;
    await db.sql`truncate ${db.sql(tables.map((table) => table.name))} restart identity cascade`;
    const [account] = await db.sql<{ account: AccountNo }[]>`insert into accounts (user_id, complete) values ('@me:test', true) returning account`;
    const [device] = await db.sql<{ device: DeviceNo }[]>`
      insert into devices (account, device_id) values (${account?.account ?? 0}, 'D') returning device`;
    if (!account || !device) throw new Error("no row was returned");
    await db.sql`insert into tokens (token_hash, device, account, ciphertext) values ('a', ${device.device}, ${account.account}, 'c')`;
    return new RetentionFixture(db, account.account, device.device);
  }

  /** Later by so much. */
  pass(ms: number): void {
    this.now += ms;
  }

  async run(): Promise<RetentionReport["counts"]> {
    return (await this.job().runOnce()).counts;
  }

  job(sessionIdleMs = 7 * DAY): RetentionJob {
    return new RetentionJob({ sql: this.db.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs, now: () => this.now });
  }

  /** Notes where everything is, and lets an hour pass: the next run's horizon is what it can be by then. */
  async anHour(): Promise<RetentionReport["counts"]> {
    await this.run();
    this.pass(HOUR);
    return this.run();
  }

  async session(parts: SessionParts = {}): Promise<SessionNo> {
    const used = new Date(this.now - (parts.idleMs ?? 0));
    const [row] = await this.db.sql<{ session: SessionNo }[]>`
      insert into sessions (account, device, kind, position, state, takes_part, acked, presence, created_at, used_at)
      values (${this.account}, ${this.device}, ${parts.kind ?? "v3"}, ${parts.position ?? 0}, ${parts.state ?? 0}, ${parts.takesPart ?? false},
        ${parts.acked ?? 0}, ${parts.presence ?? false}, ${used}, ${used})
      returning session`;
    if (!row) throw new Error("no row was returned");
    return row.session;
  }

  async use(session: SessionNo, position: number): Promise<void> {
    await this.db.sql`update sessions set position = ${position}, used_at = ${new Date(this.now)} where session = ${session}`;
  }

  async moveTo(position: number): Promise<void> {
    await this.db.sql`update accounts set position = ${position} where account = ${this.account}`;
  }

  async horizon(): Promise<number | undefined> {
    const [row] = await this.db.sql<{ horizon: number }[]>`select horizon from accounts where account = ${this.account}`;
    return row?.horizon;
  }

  /** A body for each id. */
  async events(ids: readonly string[], type = "m.room.message"): Promise<void> {
    await this.db.sql`
      insert into events (event_id, type, sender, ts, body) select id, ${type}, '@you:test', 0, '{}' from unnest(${[...ids]}::text[]) id
      on conflict do nothing`;
  }

  async eventIds(): Promise<string[]> {
    return (await this.db.sql<{ event_id: string }[]>`select event_id from events order by event_id`).map((row) => row.event_id);
  }

  /** A room with a timeline row at each ordinal of [first, last]: event `$<room><ord>`; every `tokenEvery`th has a token before it. */
  async room(room: string, first: number, last: number, tokenEvery = 1, membership = "join"): Promise<RoomId> {
    const { sql } = this.db;
    const roomId = `!${room}:test` as RoomId;
    const ords = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    await this.events(ords.map((ord) => `$${room}${ord}`));
    await sql`
      insert into timeline (account, ord, room_id, event_id, prev_batch)
      select ${this.account}, ord, ${roomId}, ${`$${room}`} || ord, case when ord % ${tokenEvery} = 0 then 't' || ord end from unnest(${ords}::bigint[]) ord`;
    await sql`
      insert into rooms (account, room_id, last_ord) values (${this.account}, ${roomId}, ${last})
      on conflict (account, room_id) do update set last_ord = excluded.last_ord`;
    await sql`
      insert into room_facts (account, room_id, from_ord, membership, facts) values (${this.account}, ${roomId}, ${first}, ${membership}, '{}')
      on conflict do nothing`;
    return roomId;
  }

  /** A state row, with a body; `to` undefined: open. */
  async state(room: RoomId, key: string, from: number, to?: number): Promise<void> {
    await this.events([`$s-${key}-${from}`], "m.topic");
    await this.db.sql`
      insert into state (account, room_id, type, state_key, from_ord, to_ord, event_id)
      values (${this.account}, ${room}, 'm.topic', ${key}, ${from}, coalesce(${to ?? null}::bigint, 9223372036854775807), ${`$s-${key}-${from}`})`;
  }

  async member(room: RoomId, user: string, from: number, to?: number): Promise<void> {
    await this.events([`$m-${user}-${from}`], "m.room.member");
    await this.db.sql`
      insert into members (account, room_id, user_id, from_ord, to_ord, event_id, membership, sort_name)
      values (${this.account}, ${room}, ${user}, ${from}, coalesce(${to ?? null}::bigint, 9223372036854775807), ${`$m-${user}-${from}`}, 'join', ${user})`;
  }
}
