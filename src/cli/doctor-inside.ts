/** What of a server cannot be seen from outside: its database, its clock, the way to its homeserver. */

import { statfs } from "node:fs/promises";
import type { DatabaseSettings } from "../config/options.ts";
import { resolveServer } from "../config/server-url.ts";
import { connect, type Sql } from "../store/db.ts";
import { checkReady } from "../store/ready.ts";
import { readHistoryUse } from "../store/history.ts";
import { readServerState, type ServerState } from "../store/server-state.ts";
import { runningDatabase } from "./embedded-database.ts";
import { bad, type Finding, ok, warn } from "./findings.ts";
import { OLDEST_VERSION } from "./open-database.ts";

/** What one process takes (docs/OPERATIONS.md, "Connection budgets"). */
const CONNECTIONS = 13;
const [LOW_DISK_BYTES, SKEW_MS, SLOW_MS] = [2e9, 5000, 300];
const ROUNDS = 7;

/** The database that is named, or runs in the data directory; null: neither, so nothing is known of the inside. */
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
    return bad(`the database cannot be asked: ${messageOf(error)}`, "See -db: is it running, are name and password right?");
  } finally {
    await sql.end({ timeout: 3 });
  }
}

function versionOf({ version }: ServerState): Finding[] {
  const major = Math.floor(version / 10_000);
  return major >= OLDEST_VERSION ? ok(`PostgreSQL ${major}`) : bad(`PostgreSQL ${major}`, `It must be ${OLDEST_VERSION} or later`);
}

function settingsOf({ settings, encoding, used }: ServerState): Finding[] {
  const loses = (name: string, what: string): Finding[] =>
    settings[name] === "off"
      ? bad(`${name} is off: ${what}`, `Set ${name} = on: a to-device message that the homeserver was told of is here alone`)
      : [];
  const free = Number(settings["max_connections"]) - Number(settings["superuser_reserved_connections"]) - used;
  const findings = [
    ...loses("fsync", "a crash of the machine destroys the database"),
    ...loses("full_page_writes", "a crash of the machine may destroy the database"),
    ...loses("synchronous_commit", "what was committed last is lost in a crash"),
    ...(encoding === "UTF8"
      ? []
      : bad(`the database's encoding is ${encoding}`, "Make one with: create database syncv3 encoding 'UTF8' template template0")),
    ...(settings["autovacuum"] === "off" ? warn("autovacuum is off", "The database grows for ever: set autovacuum = on") : []),
    ...(free < CONNECTIONS
      ? warn(
          `${free} connections are free`,
          `A process takes up to ${CONNECTIONS}: raise max_connections, or see docs/OPERATIONS.md, "Connection budgets"`,
        )
      : []),
  ];
  return findings.length > 0 ? findings : ok(`its settings: nothing is lost in a crash, ${free} connections are free`);
}

function clockOf({ now }: ServerState): Finding[] {
  return skew("the database's clock", now.getTime());
}

/** `theirs`: ms since 1970. */
function skew(whose: string, theirs: number): Finding[] {
  const seconds = Math.round((Date.now() - theirs) / 1000);
  if (Math.abs(seconds) * 1000 <= SKEW_MS) return ok(`${whose} is right`);
  return warn(
    `${whose} is ${Math.abs(seconds)} s ${seconds > 0 ? "behind" : "before"} this machine's`,
    "Keep both by NTP: times of events and of tokens are compared",
  );
}

async function schemaOf(sql: Sql): Promise<Finding[]> {
  try {
    await checkReady(sql);
    return ok("its tables are this version's");
  } catch (error) {
    return bad(`its tables are not this version's: ${messageOf(error)}`, "The server migrates as it starts: has it been started on this database?");
  }
}

/** Whether the accounts in use read their rooms' history through the server (T20). A database of an older version is not asked. */
async function historyOf(sql: Sql): Promise<Finding[]> {
  const counts = await readHistoryUse(sql).catch(() => null);
  if (!counts || counts.used === 0) return [];
  const text = `${counts.paging} of ${counts.used} accounts in use were seen to read history through syncv3 in the last 30 days`;
  if (counts.paging > 0) return ok(text);
  return warn(
    text,
    "Lead /_matrix/client/…/rooms/…/messages here as well, and name the address with -public-url: otherwise pages repeat events, and Element X loses history (docs/MIGRATING.md)",
  );
}

async function diskOf(directory: string): Promise<Finding[]> {
  const { bavail, bsize } = await statfs(directory);
  const bytes = bavail * bsize;
  const text = `${(bytes / 1e9).toFixed(1)} GB are free in the data directory`;
  return bytes < LOW_DISK_BYTES ? warn(text, "While the disk is full nothing is stored: clients wait") : ok(text);
}

/** The homeserver as the server reaches it. */
export async function checkHomeserver(server: string, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    const base = (await resolveServer(server, signal)).href.replace(/\/+$/, "");
    const times: number[] = [];
    let date = "";
    for (let i = 0; i < ROUNDS; i += 1) {
      const started = performance.now();
      // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
      const response = await fetch(`${base}/_matrix/client/versions`, { signal });
      // oxlint-disable-next-line no-await-in-loop -- as above
      await response.arrayBuffer();
      times.push(performance.now() - started);
      date = response.headers.get("date") ?? "";
    }
    const ms = times.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
    const text = `the homeserver answers in ${ms.toFixed(0)} ms`;
    const advice = "Each message comes through it: run syncv3 near the homeserver, and have -server lead there directly";
    return [...(ms > SLOW_MS ? warn(text, advice) : ok(text)), ...(date === "" ? [] : skew("the homeserver's clock", Date.parse(date)))];
  } catch (error) {
    if (signal.aborted) throw error;
    return bad(`the homeserver: ${messageOf(error)}`, "See -server");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
