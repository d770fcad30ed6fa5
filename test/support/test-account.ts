/** An account in a database, fed with v2 responses, and what is stored of it. */

import type { Sql } from "../../src/store/db.ts";
import type { ReplacedState } from "../../src/store/ingest/replaced.ts";
import { OPEN } from "../../src/store/ingest/row-types.ts";
import type { RoomFacts } from "../../src/store/room-facts.ts";
import type { IngestInput, IngestResult } from "../../src/upstream/ingest/ingest-result.ts";
import { Ingester } from "../../src/upstream/ingest/ingest.ts";
import type { AccountNo, DeviceNo, UserId } from "../../src/wire/ids.ts";
import type { V2Parts } from "./events.ts";
import { v2 } from "./events.ts";

export type TimelineShown = { id: string; gap: boolean; prev_batch: string | null; notify: boolean; ord: number };
export type MemberShown = { membership: string; was: string | null; learned: boolean; id: string };

/** Columns that the clock decides. */
const TIMES = ["seen_at", "created_at", "told_at", "check_at"];

export class TestAccount {
  readonly sql: Sql;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly me: UserId;
  /** What the next poll is asked with. */
  since: string | null = null;
  now = 1_800_000_000_000;
  /** See IngestResult, of the last response. */
  replaced: readonly ReplacedState[] = [];
  #batch = 0;
  readonly #ingester: Ingester;

  private constructor(sql: Sql, ingester: Ingester, account: AccountNo, device: DeviceNo, me: UserId) {
    this.sql = sql;
    this.#ingester = ingester;
    this.account = account;
    this.device = device;
    this.me = me;
  }

  /** `ingester`: where accounts share one. */
  static async create(sql: Sql, me = "@me:test", ingester = new Ingester({ sql })): Promise<TestAccount> {
    const [account] = await sql<{ account: AccountNo }[]>`insert into accounts (user_id) values (${me}) returning account`;
    if (!account) throw new Error("no account");
    const [device] = await sql<{ device: DeviceNo }[]>`
      insert into devices (account, device_id) values (${account.account}, 'DEVICE') returning device`;
    if (!device) throw new Error("no device");
    return new TestAccount(sql, ingester, account.account, device.device, me as UserId);
  }

  input(text: string, over: Partial<IngestInput> = {}): IngestInput {
    return {
      account: this.account,
      device: this.device,
      userId: this.me,
      epoch: null,
      rooms: true,
      accountSince: this.since,
      deviceSince: this.since,
      overlap: false,
      text,
      now: this.now,
      ...over,
    };
  }

  /** Feeds one response, as the poller would; `over` replaces what the poll is asked with. */
  async feed(parts: V2Parts | string, over: Partial<IngestInput> = {}): Promise<IngestResult> {
    this.#batch += 1;
    const text = typeof parts === "string" ? parts : JSON.stringify(v2({ next_batch: `s${this.#batch}`, ...parts }));
    const result = await this.#ingester.ingest(this.input(text, over));
    if (result.kind !== "stale") this.since = result.nextBatch;
    this.replaced = result.kind === "stored" ? result.replaced : [];
    return result;
  }

  /** Feeds one that must be stored; gives the new position. */
  async step(parts: V2Parts, over: Partial<IngestInput> = {}): Promise<number> {
    const result = await this.feed(parts, over);
    if (result.kind !== "stored") throw new Error(`${result.kind}: ${JSON.stringify(result)}`);
    return result.position;
  }

  async position(): Promise<number> {
    const [row] = await this.sql<{ position: number }[]>`select position from accounts where account = ${this.account}`;
    return row?.position ?? -1;
  }

  async timeline(room: string): Promise<TimelineShown[]> {
    return [
      ...(await this.sql<TimelineShown[]>`
      select event_id as id, gap, prev_batch, notify, ord from timeline where account = ${this.account} and room_id = ${room} order by ord`),
    ];
  }

  async ids(room: string): Promise<string[]> {
    return (await this.timeline(room)).map((row) => row.id);
  }

  /** Event ids by `type|key` at a position; now, where none is given. */
  async state(room: string, at?: number): Promise<Record<string, string>> {
    const p = at ?? (await this.position());
    const rows = await this.sql<{ key: string; event_id: string }[]>`
      select type || '|' || state_key as key, event_id from state
      where account = ${this.account} and room_id = ${room} and from_ord <= ${p} and to_ord > ${p} order by 1`;
    return Object.fromEntries(rows.map((row) => [row.key, row.event_id]));
  }

  async members(room: string, at?: number): Promise<Record<string, MemberShown>> {
    const p = at ?? (await this.position());
    const rows = await this.sql<(MemberShown & { user_id: string })[]>`
      select user_id, membership, was, learned, event_id as id from members
      where account = ${this.account} and room_id = ${room} and from_ord <= ${p} and to_ord > ${p} order by 1`;
    return Object.fromEntries(rows.map(({ user_id, ...row }) => [user_id, row]));
  }

  async memberships(room: string, at?: number): Promise<Record<string, string>> {
    return Object.fromEntries(Object.entries(await this.members(room, at)).map(([user, row]) => [user, row.membership]));
  }

  /** The open facts row. */
  async facts(room: string): Promise<RoomFacts & { membership: string; from_ord: number }> {
    const [row] = await this.sql<{ membership: string; facts: string; from_ord: number }[]>`
      select membership, facts, from_ord from room_facts where account = ${this.account} and room_id = ${room} and to_ord = ${OPEN}::bigint`;
    if (!row) throw new Error(`no facts of ${room}`);
    return { membership: row.membership, from_ord: row.from_ord, ...(JSON.parse(row.facts) as RoomFacts) };
  }

  async room(room: string): Promise<{ last_ord: number; last_ts: number; members: string; pending_gap: boolean; unsure_ord: number }> {
    const [row] = await this.sql<{ last_ord: number; last_ts: number; members: string; pending_gap: boolean; unsure_ord: number }[]>`
      select last_ord, last_ts, members, pending_gap, unsure_ord from rooms where account = ${this.account} and room_id = ${room}`;
    if (!row) throw new Error(`no room ${room}`);
    return row;
  }

  async body(id: string): Promise<{ body: string; pruned: boolean }> {
    const [row] = await this.sql<{ body: string; pruned: boolean }[]>`select body, pruned from events where event_id = ${id}`;
    if (!row) throw new Error(`no event ${id}`);
    return row;
  }

  /** Every row of the account, for comparison. */
  async dump(): Promise<Record<string, unknown>> {
    const tables = [
      "accounts",
      "timeline",
      "older",
      "older_chunks",
      "state",
      "members",
      "rooms",
      "room_facts",
      "typing",
      "receipts",
      "account_data",
      "presence",
      "profiles",
      "sticky_events",
      "invites",
      "devices",
    ];
    const dumps = tables.map(async (table) => {
      const rows = await this.sql<{ row: string }[]>`
        select (to_jsonb(t) - ${TIMES}::text[])::text as row from ${this.sql(table)} t where account = ${this.account}`;
      return [table, rows.map(({ row }) => row).sort()] as const;
    });
    return Object.fromEntries(await Promise.all(dumps));
  }
}
