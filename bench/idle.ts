/**
 * `node bench/idle.ts [--rooms N] [--runs N] [--connections N] [-- FLAGS of the server]`: a client that comes back after 20 days, beside one that
 * starts from scratch; and what idle connections take on the disk. Each asks a server that has just started, and one that has served others: nothing
 * of the account is cached there.
 *
 * Meanwhile every room has messages, every tenth more than its timeline shows and another topic, and every hundredth was left.
 */

import { hash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { silentLogger } from "../src/base/logger.ts";
import { startEmbeddedDatabase } from "../src/cli/embedded-database.ts";
import { Hub } from "../src/feed/hub.ts";
import { foldStates } from "../src/sliding/stored-state.ts";
import { connect } from "../src/store/db.ts";
import { RetentionJob } from "../src/upstream/retention-job.ts";
import { ev, type RoomParts, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { scriptedAccount, type ScriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rooms: { type: "string", default: "5000" },
    runs: { type: "string", default: "7" },
    connections: { type: "string", default: "100" },
  },
});
const [ROOMS, RUNS, CONNECTIONS] = [Number(values.rooms), Number(values.runs), Number(values.connections)];
/** Of a device. */
const MOST = 40;
const [HOUR, DAY] = [3_600_000, 86_400_000];
/** Rooms of one v2 answer. */
const BATCH = 500;
const ME = "@idle:bench";
/** Requests of another client that a server has answered before. */
const SERVERS = { "just started": 0, "has served others": 30 } as const;
const BOB = "@puppet1:bench";
/** The last room of the window: that of Element X at first, and all of them. */
const WINDOWS = [19, ROOMS - 1];

const homeserver = await startFakeHomeserver();
/** Room ids as long and as random as Synapse's: how small JSON gets depends on that. */
const account = JSON.parse(
  JSON.stringify(scriptedAccount(ME, ROOMS)).replaceAll(
    /!bench\d+-\d+:bench/g,
    (id) => `!${hash("sha256", id, "base64url").slice(0, 18)}:bench.example`,
  ),
) as ScriptedAccount;
const token = homeserver.login(ME);
const other = homeserver.login("@other:bench");
homeserver.queueSync(other, v2(scriptedAccount("@other:bench", 200, 2).first));
homeserver.queueSync(token, v2(account.first));
const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
const database = await startEmbeddedDatabase({ directory });
const sql = connect(database.options, 2);
const serve = <T>(use: (url: string) => Promise<T>) => withServer(homeserver.url, ["-db", database.dsn, "-secret", "bench", ...positionals], use);

type Answered = { readonly ms: number; readonly bytes: number; readonly pos: string };

/** The answer of a server that has just answered so many requests of another client. */
function after(turns: number, use: (url: string) => Promise<Answered>): Promise<Answered> {
  return serve(async (url) => {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    for (let turn = 0; turn < turns; turn += 1) await ask(url, listBody("other", 199), "", other);
    return use(url);
  });
}

async function ask(url: string, body: object, pos = "", by = token): Promise<Answered> {
  const started = performance.now();
  const query = pos === "" ? "" : `&pos=${encodeURIComponent(pos)}`;
  const answer = await fetch(`${url}${PATH}?timeout=0${query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${by}` },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
  return { ms: performance.now() - started, bytes: text.length, pos: (JSON.parse(text) as { readonly pos: string }).pos };
}

function retention(inMs: number): Promise<unknown> {
  const now = () => Date.now() + inMs;
  return new RetentionJob({ sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * DAY, foldStates, now }).runOnce();
}

/** kB of the table that has what connections were sent. */
async function stored(): Promise<number> {
  await sql`vacuum full connection_states`;
  const [row] = await sql<{ bytes: number }[]>`select pg_total_relation_size('connection_states')::float8 as bytes`;
  return Math.round((row?.bytes ?? 0) / 1024);
}

function meanwhile(place: number): RoomParts {
  const many = place % 10 === 0;
  const timeline = Array.from({ length: many ? 40 : 3 }, (_, n) => ev.message(BOB, `meanwhile ${n}`));
  return { timeline: many ? [ev.topic(BOB, "meanwhile"), ...timeline] : timeline, prev_batch: `meanwhile${place}` };
}

try {
  const positions = await serve(async (url) => {
    await ask(url, listBody("first", 19));
    await homeserver.waitForPoll(token, 120_000);
    const clients = [token];
    for (let n = 0; n < CONNECTIONS; n += 1) {
      const device = Math.floor(n / MOST) + 1;
      const by = (clients[device] ??= homeserver.login(ME, `DEVICE${device}`));
      // oxlint-disable-next-line no-await-in-loop -- what is measured is what they leave behind
      await ask(url, listBody(`idle-${n}`, ROOMS - 1), "", by);
    }
    const begun = await Promise.all(WINDOWS.map((last) => ask(url, listBody(`back-${last}`, last))));
    for (let from = 0; from < ROOMS; from += BATCH) {
      const changed = account.rooms.slice(from, from + BATCH).map((room, place) => [room, from + place] as const);
      const [left, stayed] = [changed.filter(([, place]) => place % 100 === 99), changed.filter(([, place]) => place % 100 !== 99)];
      homeserver.queueSync(
        token,
        v2({
          join: Object.fromEntries(stayed.map(([room, place]) => [room, meanwhile(place)])),
          leave: Object.fromEntries(left.map(([room]) => [room, { timeline: [ev.member(ME, "leave")] }])),
        }),
      );
      // oxlint-disable-next-line no-await-in-loop -- as v2 answers come
      await homeserver.waitForPoll(token, 120_000);
    }
    return begun.map(({ pos }) => pos);
  });
  const before = await stored();
  await sql`update sessions set used_at = now() - interval '20 days'`;
  await retention(0);
  await retention(HOUR + 60_000);
  const idle = await stored();
  // As the database itself has done in 20 days.
  await sql`vacuum analyze`;
  const perRoom = Math.round((idle * 1024) / (CONNECTIONS * ROOMS));
  process.stdout.write(`${CONNECTIONS} connections of ${ROOMS} rooms: ${before} kB, idle ${idle} kB: ${perRoom} bytes a room\n\n`);
  process.stdout.write("| window | server | back after 20 days, ms | from scratch, ms | ratio | kB of either |\n|---|---|---|---|---|---|\n");
  for (const [index, last] of WINDOWS.entries()) {
    for (const [server, turns] of Object.entries(SERVERS)) {
      const [back, fresh]: [Answered[], Answered[]] = [[], []];
      for (let run = 0; run < RUNS; run += 1) {
        // oxlint-disable-next-line no-await-in-loop -- in turns
        back.push(await after(turns, (url) => ask(url, listBody(`back-${last}`, last), positions[index])));
        fresh.push(await after(turns, (url) => ask(url, listBody(`fresh-${last}`, last)))); // oxlint-disable-line no-await-in-loop -- in turns
      }
      const [ours, theirs] = [back, fresh].map((of) =>
        percentile(
          of.map(({ ms }) => ms),
          50,
        ),
      ) as [number, number];
      const sizes = [back, fresh].map((of) => Math.round((of[0]?.bytes ?? 0) / 1024));
      const row = [last + 1, server, ours.toFixed(0), theirs.toFixed(0), (ours / theirs).toFixed(2), sizes.join(", ")];
      process.stdout.write(`| ${row.join(" | ")} |\n`);
    }
  }
} finally {
  await sql.end();
  await database.stop();
  await homeserver.stop();
  await rm(directory, { recursive: true, force: true });
}
