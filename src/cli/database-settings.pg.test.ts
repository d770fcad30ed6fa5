/** N9: settings of a role, a database or a server change nothing, or are refused at start-up with a clear message. */

import { randomBytes } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, newRoom, startFakeHomeserver, v2 } from "../../test/support/fake-homeserver.ts";
import { startBouncer } from "../../test/support/pgbouncer.ts";
import { SlidingClient } from "../../test/support/sliding.ts";
import { V3Client } from "../../test/support/v3.ts";
import { silentLogger } from "../base/logger.ts";
import { connect, type DbOptions, type Sql } from "../store/db.ts";
import { openDatabase } from "./open-database.ts";

/** Settings that any role may have, with a value that would change something if it took effect. */
const HARMLESS: Readonly<Record<string, string>> = {
  array_nulls: "off",
  backslash_quote: "off",
  bytea_output: "escape",
  check_function_bodies: "off",
  client_encoding: "LATIN1",
  client_min_messages: "debug5",
  DateStyle: "German, DMY",
  default_statistics_target: "1",
  default_transaction_deferrable: "on",
  default_transaction_isolation: "serializable",
  enable_indexscan: "off",
  enable_nestloop: "off",
  enable_seqscan: "off",
  escape_string_warning: "on",
  extra_float_digits: "-15",
  idle_in_transaction_session_timeout: "50",
  IntervalStyle: "iso_8601",
  jit: "on",
  jit_above_cost: "0",
  lc_monetary: "C",
  lc_numeric: "C",
  lc_time: "C",
  lock_timeout: "1",
  max_parallel_workers_per_gather: "8",
  parallel_setup_cost: "0",
  plan_cache_mode: "force_custom_plan",
  quote_all_identifiers: "on",
  row_security: "off",
  standard_conforming_strings: "off",
  statement_timeout: "100",
  synchronous_commit: "off",
  tcp_keepalives_idle: "1",
  TimeZone: "Asia/Kathmandu",
  transform_null_equals: "on",
  work_mem: "64kB",
  xmlbinary: "hex",
  xmloption: "document",
};

/** Settings that are refused, because syncv3 cannot or should not override them. */
const REFUSED: Readonly<Record<string, string>> = { default_transaction_read_only: "on", session_replication_role: "replica" };

/** Settings that cannot be requested through a pooler in transaction mode, with values that let the start reach its check. */
const REFUSED_IF_POOLED: Readonly<Record<string, string>> = {
  array_nulls: "off",
  default_transaction_isolation: "serializable",
  lock_timeout: "9000",
  statement_timeout: "9000",
  synchronous_commit: "off",
  transform_null_equals: "on",
};

type Own = { readonly database: TestDatabase; readonly admin: Sql; readonly role: string; readonly options: DbOptions; readonly dsn: string };

/** A database and the role that owns it. Of `settings`, every other one is set for the database and the rest for the role. */
async function withRole(settings: Readonly<Record<string, string>>): Promise<Own> {
  const database = await freshDatabase(true);
  const role = `role_${randomBytes(6).toString("hex")}`;
  const admin = connect({ ...database.options, database: "postgres" }, 1);
  await admin.unsafe(`create role ${role} login superuser`);
  onTestFinished(async () => {
    await database.drop();
    await admin.unsafe(`drop role ${role}`);
    await admin.end();
  });
  for (const [n, [name, value]] of Object.entries(settings).entries()) {
    const whose = n % 2 === 0 ? `role ${role}` : `database ${database.options.database}`;
    await admin.unsafe(`alter ${whose} set ${name} = '${value}'`);
  }
  const options = { ...database.options, username: role };
  return { database, admin, role, options, dsn: database.dsn.replace(/user='[^']*'/, `user='${role}'`) };
}

/** The error of a start with these options; null: the database is opened. */
async function refusal(options: DbOptions, dbPoolMode: "session" | "transaction" = "session"): Promise<string | null> {
  const settings = { db: options, dbPoolMode, dbDirect: undefined, data: "/nowhere", workers: 1, maxDbConnections: 2 };
  try {
    const open = await openDatabase(settings, silentLogger(), () => {}, new AbortController().signal);
    await open.close();
    return null;
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

/** A user's first day: an empty database is migrated, a token is verified twice, an account is polled, its messages are sent. Returns the errors in the log. */
async function firstDay(args: readonly string[]): Promise<string[]> {
  const homeserver = await startFakeHomeserver();
  onTestFinished(() => homeserver.stop());
  const command = runCommand(["-server", homeserver.url, "-secret", "of the test", "-port", "127.0.0.1:0", ...args]);
  onTestFinished(async () => {
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });
  const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
  const [me, room] = ["@me:test", "!room:test"];
  const token = homeserver.login(me, "DEV");
  const join = { [room]: { state: newRoom(me), timeline: [ev.message(me, "a \\ and a 'quote' NULL é 😀")] } };
  homeserver.queueSync(token, v2({ join, to_device: [{ type: "m.x", sender: me, content: { n: 1 } }] }));
  const client = new V3Client(() => url, me, "DEV", token);
  const first = await client.sync({ room_list: {}, to_device: {}, room: { room_id: room, timeline_limit: 20 } });
  expect(JSON.stringify(first)).toContain("a \\\\ and a 'quote' NULL é 😀");
  for (let again = 0; again < 3; again += 1) expect((await client.request({}, { since: first.next, timeout: 0 })).status).toBe(200);
  const sliding = await new SlidingClient(client, "v4").sync({ lists: { all: { ranges: [[0, 9]], limit: 20 } } });
  expect(JSON.stringify(sliding)).toContain("a \\\\ and a 'quote'");
  return command
    .log()
    .split("\n")
    .filter((line) => /"level":(50|60)/.test(line));
}

test("N9: 37 settings of role and database at once change nothing", { timeout: 120_000 }, async () => {
  const { dsn, options } = await withRole(HARMLESS);
  const sql = connect(options, 1);
  expect(await sql`select ${["a", null]}::text[] as list, pg_sleep(0.3)::text as slept`).toEqual([{ list: ["a", null], slept: "" }]);
  await sql.end();
  expect(await firstDay(["-db", dsn])).toEqual([]);
});

test.each(Object.entries(REFUSED))("N9: %s = %s is refused at start-up with a clear message", async (name, value) => {
  const { options } = await withRole({ [name]: value });
  expect(await refusal(options)).toMatch(
    new RegExp(`^DatabaseUnusable: -db: PostgreSQL settings must be changed: ${name} is ${value} and must be .*alter role`),
  );
});

test("N9: a search path without the schema of the tables is refused; the database is not treated as empty", async () => {
  const { options, admin, role } = await withRole({});
  expect(await refusal(options)).toBeNull();
  await admin.unsafe(`alter role ${role} set search_path = elsewhere`);
  expect(await refusal(options)).toMatch(/^DatabaseUnusable: -db: search_path does not include the schema public/);
  await admin.unsafe(`alter role ${role} set search_path = elsewhere, public`);
  expect(await refusal(options)).toBeNull();
});

test("N9: through a pooler in session mode that passes no settings on: refused with a clear message, or correct", { timeout: 120_000 }, async () => {
  const { options, admin, role } = await withRole({ statement_timeout: "9999", bytea_output: "escape" });
  const bouncer = await startBouncer("session", options, "ignore_startup_parameters =\n");
  onTestFinished(() => bouncer.stop());
  expect(await refusal(bouncer.options)).toMatch(/DatabaseUnusable: .*statement_timeout is 9999 and must be 0 or at least 10s/);
  await admin.unsafe(`alter role ${role} set statement_timeout = '10s'`);
  await bouncer.restart();
  expect(await firstDay(["-db", bouncer.dsn])).toEqual([]);
});

test(
  "N9: through a pooler in transaction mode each setting that cannot be requested is refused with a clear message",
  { timeout: 60_000 },
  async () => {
    const { options } = await withRole(REFUSED_IF_POOLED);
    const bouncer = await startBouncer("transaction", options);
    onTestFinished(() => bouncer.stop());
    const words = await refusal({ ...bouncer.options, prepare: false }, "transaction");
    for (const [name, value] of Object.entries(REFUSED_IF_POOLED)) expect(words).toContain(`${name} is ${value} and must be `);
  },
);

test("N9: through a pooler in transaction mode all other settings change nothing", { timeout: 60_000 }, async () => {
  const others = Object.entries(HARMLESS).filter(([name]) => !(name in REFUSED_IF_POOLED));
  const { options, dsn } = await withRole(Object.fromEntries(others));
  const bouncer = await startBouncer("transaction", options);
  onTestFinished(() => bouncer.stop());
  expect(await firstDay(["-db", bouncer.dsn, "-db-pool-mode", "transaction", "-db-direct", dsn])).toEqual([]);
});
