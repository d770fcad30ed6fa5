/** Every statement that reads or writes rows names their owner: the key by which the table would be distributed, see docs/SCALING.md. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { SCHEMA_FILE } from "../../test/support/schema-text.ts";

/** What names the owner of a table's rows. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  ...keyed(
    ["account"],
    "accounts timeline older older_chunks state members rooms room_facts typing receipts account_data presence profiles invites sticky_events",
  ),
  ...keyed(
    ["account"],
    "background_asks thread_subscriptions unignored_users leases position_marks poison poll_troubles rereads standings doubted_rooms restore_probes feed_events feed_gaps",
  ),
  ...keyed(["account", "device"], "devices sessions to_device to_device_passed device_lists passed_batches sent_events"),
  ...keyed(["account", "device", "session"], "session_states session_pages list_snapshots connection_states"),
  // Found by their hash before their owner is known.
  ...keyed(["account", "device", "hash"], "tokens"),
  // A few places of the installation, and one rate.
  ...keyed(["slot"], "sync_slots"),
  ...keyed(["single"], "question_rate"),
  // They have no owner: the same text for all accounts that may see it, reached from their own rows.
  ...keyed(["event_id"], "events"),
  ...keyed(["name"], "homeserver_facts"),
  // A redaction ends everybody's own copies.
  ...keyed(["account", "event_id"], "own_events"),
};
/** Keyed by the number of a session, which only its device's requests contain, signed. */
const BY_SESSION = /\bsession\b/;
/** Statements of the server itself, which go through all accounts: how they begin. */
const SERVERS_OWN: Readonly<Record<string, readonly string[]>> = {
  // For rotate-secret and end-sessions.
  "leases.ts": ["select ceil(extract(epoch from max(expir"],
  "sessions.ts": ["delete from sessions where kind in ('v3'", "update devices set seq = seq + ${JUMP}"],
  "retention/devices.ts": ["delete from to_device_passed where ctid", "delete from poison where id in ( select"],
  "retention/events.ts": ["not exists (select from timeline x where"],
  // `syncv3 status`: only numbers.
  "status.ts": ["select (select count(*) from accounts) a", "select count(*) as polled, count(distinc", "select count(*) filter (where kind = 'v3"],
  // Whether the homeserver was restored: that concerns all accounts.
  "restores.ts": [
    "exists (select from accounts where found",
    "select count(*)::integer as count from a",
    "update accounts set found_restored_at =",
    "delete from restore_probes",
  ],
  // Whether the database or this server is at fault, not one account's answer (N3).
  "poll-troubles.ts": ["select detail, count(*) as accounts from"],
  // `syncv3 doctor`: only numbers.
  "history.ts": ["select count(*)::integer as used, count("],
  "sent-events.ts": ["delete from sent_events where ctid = any"],
};
const BEGINNING = 40;

function keyed(keys: readonly string[], tables: string): Record<string, readonly string[]> {
  return Object.fromEntries(tables.split(" ").map((table) => [table, keys]));
}

/** The template literals of a source text, each including the ones inside it. */
function templates(source: string): string[] {
  const found: string[] = [];
  for (let at = source.indexOf("`"); at >= 0; at = source.indexOf("`", at)) {
    const end = endOf(source, at);
    found.push(source.slice(at + 1, end));
    at = end + 1;
  }
  return found;
}

/** The end of the template literal that begins at `at`. */
function endOf(source: string, at: number): number {
  for (let i = at + 1; i < source.length; i += 1) {
    if (source[i] === "\\") i += 1;
    else if (source[i] === "`") return i;
    else if (source.startsWith("${", i)) i = endOfHole(source, i + 2);
  }
  return source.length;
}

function endOfHole(source: string, from: number): number {
  let depth = 1;
  for (let i = from; i < source.length; i += 1) {
    if (source[i] === "`") i = endOf(source, i);
    else if (source[i] === "{") depth += 1;
    else if (source[i] === "}") depth -= 1;
    if (depth === 0) return i;
  }
  return source.length;
}

const STATEMENT = /\b(?:select|insert into|update|delete from)\b/;
const TABLES = /\b(?:from|join|into|update|using)\s+([a-z_]+)\b/g;

type SqlStatement = { readonly file: string; readonly text: string; readonly tables: readonly string[] };

const root = import.meta.dirname;
const statements: SqlStatement[] = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.includes(".test."))
  .flatMap((file) =>
    templates(readFileSync(join(root, file), "utf8"))
      .filter((text) => STATEMENT.test(text))
      .map((text) => ({
        file,
        text,
        tables: [...new Set([...text.matchAll(TABLES)].map(([, table]) => table ?? "").filter((table) => table in KEYS))],
      }))
      .filter(({ tables }) => tables.length > 0),
  );

const isScoped = ({ text, tables }: SqlStatement): boolean =>
  tables.every((table) => KEYS[table]?.some((key) => new RegExp(`\\b(?:${key}|\\w*_${key})\\b`).test(text))) ||
  (tables.every((table) => KEYS[table]?.includes("device")) && BY_SESSION.test(text));

test("every statement of the store names the account, device or session whose rows it touches", () => {
  expect(statements.length).toBeGreaterThan(150);
  expect(new Set(statements.flatMap(({ tables }) => tables))).toEqual(new Set(Object.keys(KEYS)));
  const others = Map.groupBy(
    statements.filter((statement) => !isScoped(statement)),
    ({ file }) => file,
  );
  expect(
    Object.fromEntries([...others].map(([file, of]) => [file, of.map(({ text }) => text.replaceAll(/\s+/g, " ").trim().slice(0, BEGINNING).trim())])),
  ).toEqual(SERVERS_OWN);
});

test("every table of the schema is known here", () => {
  const created = [...readFileSync(SCHEMA_FILE, "utf8").matchAll(/^CREATE TABLE (\w+)/gm)].map(([, table = ""]) => table);
  // The last one records the migrations that have run.
  expect(new Set(created)).toEqual(new Set([...Object.keys(KEYS), "migrations"]));
});
