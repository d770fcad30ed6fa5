/** A database, a fake homeserver and what pollers need between them, with an ingest that keeps what it was given. */

import { randomUUID } from "node:crypto";
import { sleep } from "../../src/base/abort.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import { Hub, type Wake, type WakeKind } from "../../src/feed/hub.ts";
import { connect, type Sql, writeTx } from "../../src/store/db.ts";
import { registerToken, sealToken } from "../../src/store/tokens.ts";
import { HomeserverClient } from "../../src/upstream/client.ts";
import { FirstSyncs } from "../../src/upstream/first-syncs.ts";
import type { IngestInput, IngestResult } from "../../src/upstream/ingest/ingest-result.ts";
import type { PollerDeps } from "../../src/upstream/poller-types.ts";
import { Supervisor } from "../../src/upstream/supervisor.ts";
import type { SupervisorOptions } from "../../src/upstream/supervisor-options.ts";
import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../../src/wire/ids.ts";
import type { TestDatabase } from "./database.ts";
import { type FakeHomeserver, startFakeHomeserver } from "./fake-homeserver.ts";

/** Ingest as pollers see it: the lease's epoch and `since` are compared and set, nothing else is stored. */
export class RecordingIngest {
  /** What was committed, oldest first. */
  readonly stored: IngestInput[] = [];
  /** How many were not, since something was not as the poller thought. */
  stale = 0;
  /** How often it was called. */
  calls = 0;
  /** Thrown before anything is written, as often as there are some. */
  readonly errors: Error[] = [];
  /** Awaited before anything is written. */
  gate: Promise<void> = Promise.resolve();
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  readonly ingest = async (input: IngestInput): Promise<IngestResult> => {
    this.calls += 1;
    await this.gate;
    const error = this.errors.shift();
    if (error) throw error;
    const body = JSON.parse(input.text) as { next_batch: string; rooms?: { join?: Record<string, unknown> }; to_device?: { events: unknown[] } };
    const position = await writeTx(this.#sql, async (tx) => {
      const lease = await tx`select 1 from leases where account = ${input.account} and epoch = ${input.epoch} for share`;
      const account = await tx<
        { position: Position; since: string | null }[]
      >`select position, since from accounts where account = ${input.account} for update`;
      const device = await tx<{ since: string | null }[]>`select since from devices where device = ${input.device} for update`;
      const [row] = account;
      if (lease.length === 0 || !row || device[0]?.since !== input.deviceSince || (input.rooms && row.since !== input.accountSince)) return null;
      await tx`update devices set since = ${body.next_batch} where device = ${input.device}`;
      if (input.rooms)
        await tx`update accounts set since = ${body.next_batch}, position = position + 1, complete = true where account = ${input.account}`;
      return (row.position + 1) as Position;
    });
    if (position === null) {
      this.stale += 1;
      return { kind: "stale" };
    }
    this.stored.push(input);
    const rooms = Object.keys(body.rooms?.join ?? {}) as RoomId[];
    const toDevice = (body.to_device?.events.length ?? 0) > 0;
    const kinds = new Set<WakeKind>([...(rooms.length > 0 ? (["timeline"] as const) : []), ...(toDevice ? (["to_device"] as const) : [])]);
    return {
      kind: "stored",
      position,
      nextBatch: body.next_batch,
      news: { kinds, rooms: new Set(rooms) },
      toDevice,
      countsAreOld: false,
      gaps: 0,
      replaced: [],
      batch: null,
      setAside: null,
    };
  };
}

export type Polled = { readonly account: AccountNo; readonly device: DeviceNo; readonly token: string };

export class UpstreamFixture {
  readonly hs: FakeHomeserver;
  readonly database: TestDatabase;
  readonly sql: Sql;
  readonly box = new SecretBox("a secret of the test");
  readonly hub = new Hub();
  readonly ingest: RecordingIngest;
  readonly client: HomeserverClient;
  /** Accounts that were reset (D26). */
  readonly resets: AccountNo[] = [];
  /** Milliseconds that pollers wanted to wait after failures; they do wait `slept` of them. */
  readonly waits: number[] = [];
  readonly #supervisors: Supervisor[] = [];
  readonly #pools: Sql[] = [];

  constructor(hs: FakeHomeserver, database: TestDatabase) {
    this.hs = hs;
    this.database = database;
    this.sql = database.sql;
    this.ingest = new RecordingIngest(database.sql);
    this.client = new HomeserverClient({ baseUrl: hs.url });
  }

  /** Logs a device in and registers its token, as a first request does. */
  async login(userId = "@alice:test", deviceId = "PHONE"): Promise<Polled> {
    const token = this.hs.login(userId, deviceId);
    return { ...(await this.register(token, userId, deviceId)), token };
  }

  register(token: string, userId = "@alice:test", deviceId = "PHONE"): Promise<{ account: AccountNo; device: DeviceNo }> {
    return registerToken(this.sql, { ...sealToken(this.box, token), userId: userId as UserId, deviceId });
  }

  /** Everything a Supervisor takes, with waits after failures that last no time but are kept in `waits`. */
  options(over: Partial<SupervisorOptions> = {}): SupervisorOptions {
    return {
      sql: this.sql,
      lockDb: null,
      ownerId: randomUUID(),
      client: this.client,
      box: this.box,
      feed: this.hub,
      logger: silentLogger(),
      ingest: this.ingest.ingest,
      resetAccount: async (account, device) => {
        this.resets.push(account);
        await this.sql`update accounts set since = null where account = ${account}`;
        await this.sql`update devices set since = null where device = ${device}`;
      },
      sweepMs: 50,
      random: () => 1,
      sleep: (ms, signal) => {
        this.waits.push(ms);
        return sleep(1, signal);
      },
      ...over,
    };
  }

  /** A started Supervisor; `stop` ends it. */
  supervise(over: Partial<SupervisorOptions> = {}): Supervisor {
    const supervisor = new Supervisor(this.options(over));
    this.#supervisors.push(supervisor);
    supervisor.start();
    return supervisor;
  }

  /** A pool of its own, as another process has. */
  pool(): Sql {
    const sql = connect(this.database.options, 3);
    this.#pools.push(sql);
    return sql;
  }

  /** Wakes of the account from now on. */
  wakes(account: AccountNo): Wake[] {
    const wakes: Wake[] = [];
    this.hub.subscribe(account, (wake) => wakes.push(wake));
    return wakes;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.stop()));
    await this.client.close();
    await this.hs.stop();
    await Promise.all(this.#pools.map((sql) => sql.end({ timeout: 1 })));
  }
}

/** On a database whose accounts are removed first with all that they have, so that the tests of a file can share one. */
export async function upstreamFixture(database: TestDatabase): Promise<UpstreamFixture> {
  const { sql } = database;
  const tables = await sql<{ name: string }[]>`
    select distinct table_name as name from information_schema.columns where table_schema = 'public' and column_name = 'account'`;
  await sql`truncate ${sql(tables.map(({ name }) => name))} restart identity cascade`;
  return new UpstreamFixture(await startFakeHomeserver(), database);
}

/** What a poller needs of its process; its delays are the longest. */
export function pollerDeps(fixture: UpstreamFixture, leases: PollerDeps["leases"]): PollerDeps {
  const options = fixture.options();
  const firstSyncs = new FirstSyncs(options.logger);
  return {
    ...options,
    leases,
    firstSyncs,
    pollingGap: () => {},
    now: Date.now,
    random: () => 1,
    sleep: options.sleep ?? sleep,
    restores: { choose: async () => {}, foundByPoll: async () => {} },
    syncQueue: { run: (_account, _signal, sync) => sync() },
  };
}
