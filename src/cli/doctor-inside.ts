/** Checks what cannot be seen from outside: the database, the clocks, and the connection to the homeserver. */

import { statfs } from "node:fs/promises";
import type { DatabaseSettings } from "../config/options.ts";
import { resolveServer } from "../config/server-url.ts";
import { connect, type Sql } from "../store/db.ts";
import { checkReady } from "../store/ready.ts";
import { readHistoryUse } from "../store/history.ts";
import { readServerState, type ServerState } from "../store/server-state.ts";
import { runningDatabase } from "./embedded-database.ts";
import { counted } from "../base/counted.ts";
import { checkEndpoints } from "./doctor-endpoints.ts";
import { bad, type Finding, ok, warn } from "./findings.ts";
import { OLDEST_VERSION } from "./open-database.ts";

/** Database connections of one process (docs/OPERATIONS.md, "Connection budgets"). */
const CONNECTIONS = 13;
const [LOW_DISK_BYTES, SKEW_MS, SLOW_MS] = [2e9, 5000, 300];
const ROUNDS = 7;

/** Checks the database of `-db`, or the one running in the data directory. Null: there is neither. */
export async function checkDatabase({ db, data }: Pick<DatabaseSettings, "db" | "data">): Promise<readonly Finding[] | null> {
  const options = db ?? (await runningDatabase(data));
  if (!options) return null;
  const sql = connect(options, 1);
  try {
    const state = await readServerState(sql);
    return [
      ...versionOf(state),
      ...settingsOf(state),
      ...clockOf(state),
      ...(await schemaOf(sql)),
      ...(await historyOf(sql)),
      ...(db ? [] : await diskOf(data)),
    ];
  } catch (error) {
    return bad(`the database cannot be queried: ${messageOf(error)}`, "Check that it is running, and check the name and password in -db");
  } finally {
    await sql.end({ timeout: 3 });
  }
}

function versionOf({ version }: ServerState): Finding[] {
  const major = Math.floor(version / 10_000);
  return major >= OLDEST_VERSION ? ok(`PostgreSQL ${major}`) : bad(`PostgreSQL ${major}`, `Upgrade it to ${OLDEST_VERSION} or later`);
}

function settingsOf({ settings, encoding, used }: ServerState): Finding[] {
  const loses = (name: string, what: string): Finding[] =>
    settings[name] === "off"
      ? bad(`${name} is off: ${what}`, `Set ${name} = on: the homeserver deletes to-device messages that syncv3 has fetched, so a loss here is final`)
      : [];
  const free = Number(settings["max_connections"]) - Number(settings["superuser_reserved_connections"]) - used;
  const findings = [
    ...loses("fsync", "a crash of the machine destroys the database"),
    ...loses("full_page_writes", "a crash of the machine may destroy the database"),
    ...loses("synchronous_commit", "a crash loses the last commits"),
    ...(encoding === "UTF8"
      ? []
      : bad(`the database's encoding is ${encoding}`, "Create a database with: create database syncv3 encoding 'UTF8' template template0")),
    ...(settings["autovacuum"] === "off" ? warn("autovacuum is off", "Set autovacuum = on: without it the database grows without limit") : []),
    ...(free < CONNECTIONS
      ? warn(
          counted(free, "free connection"),
          `One process opens up to ${CONNECTIONS}: raise max_connections, or see docs/OPERATIONS.md, "Connection budgets"`,
        )
      : []),
  ];
  return findings.length > 0 ? findings : ok(`the database settings: a crash loses nothing, ${counted(free, "free connection")}`);
}

function clockOf({ now }: ServerState): Finding[] {
  return skew("the database's clock", now.getTime());
}

/** `theirs`: ms since 1970. */
function skew(whose: string, theirs: number): Finding[] {
  const seconds = Math.round((Date.now() - theirs) / 1000);
  if (Math.abs(seconds) * 1000 <= SKEW_MS) return ok(`${whose} is right`);
  return warn(
    `${whose} is ${Math.abs(seconds)} s ${seconds > 0 ? "behind" : "ahead of"} this machine's`,
    "Synchronise both with NTP: times of events and tokens are compared",
  );
}

async function schemaOf(sql: Sql): Promise<Finding[]> {
  try {
    await checkReady(sql);
    return ok("the database schema is that of this version");
  } catch (error) {
    return bad(
      `the database schema is not that of this version: ${messageOf(error)}`,
      "Start a server of this version on this database: it migrates the schema at start-up",
    );
  }
}

/** Whether the accounts in use read the history of rooms through the server (T20). Skipped for a database of an older version. */
async function historyOf(sql: Sql): Promise<Finding[]> {
  const counts = await readHistoryUse(sql).catch(() => null);
  if (!counts || counts.used === 0) return [];
  const text = `${counts.paging} of ${counted(counts.used, "active account")} read room history through syncv3 in the last 30 days`;
  if (counts.paging > 0) return ok(text);
  return warn(
    text,
    "Send /_matrix/client/…/rooms/…/messages to syncv3 too, and set -public-url. Otherwise pages repeat events, and Element X loses history (docs/MIGRATING.md)",
  );
}

async function diskOf(directory: string): Promise<Finding[]> {
  const { bavail, bsize } = await statfs(directory);
  const bytes = bavail * bsize;
  const text = `${(bytes / 1e9).toFixed(1)} GB free in the data directory`;
  return bytes < LOW_DISK_BYTES ? warn(text, "Free some space: when the disk is full, nothing is stored and clients wait") : ok(text);
}

/** Checks the homeserver over the connection that the server uses. */
export async function checkHomeserver(server: string, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    const base = (await resolveServer(server, signal)).href.replace(/\/+$/, "");
    const times: number[] = [];
    let date = "";
    for (let i = 0; i < ROUNDS; i += 1) {
      const started = performance.now();
      // oxlint-disable-next-line no-await-in-loop -- measured one after the other
      const response = await fetch(`${base}/_matrix/client/versions`, { signal });
      // oxlint-disable-next-line no-await-in-loop -- as above
      await response.arrayBuffer();
      times.push(performance.now() - started);
      date = response.headers.get("date") ?? "";
    }
    const ms = times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
    const text = `the homeserver answers in ${ms.toFixed(0)} ms`;
    const advice = "This delays every message. Run syncv3 near the homeserver, and point -server to it directly";
    return [
      ...(ms > SLOW_MS ? warn(text, advice) : ok(text)),
      ...(date === "" ? [] : skew("the homeserver's clock", Date.parse(date))),
      ...(await checkEndpoints(base, signal)),
    ];
  } catch (error) {
    if (signal.aborted) throw error;
    return bad(`the homeserver: ${messageOf(error)}`, "Check -server");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
