/**
 * `npm run bench [-- --rooms N] [--only WORDS] [--json FILE] [--compare FILE]`: figures of this server in front of a Synapse of its own,
 * beside that Synapse's own APIs in the same run. Client, both servers and the database share the machine. Not a test: nothing fails on milliseconds.
 */

import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { startSynapse } from "../test/support/synapse.ts";
import { coldFirst, residentMemory, wakeUps, warmFirst } from "./measure.ts";
import { populate } from "./population.ts";
import { withServer } from "./servers.ts";
import { slidingFirst, slidingThroughput, slidingWakeUps } from "./sliding.ts";
import { compared, type Row, summarize, type Summary, table } from "./stats.ts";

const { values } = parseArgs({
  options: {
    rooms: { type: "string", default: "100" },
    /** Rows whose group has one of these words in its name: cold, v3, sliding, memory. */
    only: { type: "string", default: "cold,v3,sliding,memory" },
    json: { type: "string" },
    /** A file that --json wrote: what has changed since. */
    compare: { type: "string" },
  },
});
const ROOMS = Number(values.rooms);
if (!Number.isInteger(ROOMS) || ROOMS < 20) throw new Error("--rooms takes a whole number of 20 or more");
const groups = new Set(values.only.split(","));
const COLD = 5;
const WARM = 200;
const WAKES = 100;
const SECONDS = 5;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

const synapse = await startSynapse({ say });
try {
  say(`Making an account with ${ROOMS} rooms`);
  const { user, puppets, rooms } = await populate(synapse.users, ROOMS, say);
  const rows: Row[] = [];
  if (groups.has("cold")) {
    say(`Cold, ${COLD} times`);
    const cold: { ours: number; v2: number }[] = [];
    for (let i = 0; i < COLD; i += 1) cold.push(await withServer(synapse.url, [], (url) => coldFirst(user.at(url), user)));
    rows.push({
      work: `first request of an account of ${ROOMS} rooms, cold`,
      unit: "ms",
      ours: cold.map((c) => c.ours),
      peer: { name: "Synapse v2 first sync", figures: cold.map((c) => c.v2) },
    });
  }
  await withServer(synapse.url, [], async (url, pid) => {
    const front = user.at(url);
    const empty = await residentMemory(pid);
    await coldFirst(front, user);
    const afterOne = await residentMemory(pid);
    const [roomId] = rooms;
    const [sender] = puppets;
    if (roomId === undefined || !sender) throw new Error("there is no room");
    await sender.join(roomId);
    if (groups.has("v3")) {
      say(`v3, warm, ${WARM} times`);
      await warmFirst(front, user, 20);
      rows.push(await warmFirst(front, user, WARM));
      say(`v3, wake-ups, ${WAKES} times`);
      rows.push(...(await wakeUps(front, await synapse.users.login("bench", "BENCH2"), sender, roomId, WAKES)));
    }
    if (groups.has("sliding")) {
      say(`Sliding sync, warm, ${WARM} times`);
      await slidingFirst(front, user, 20, 20);
      rows.push(await slidingFirst(front, user, 20, WARM));
      if (ROOMS >= 100) rows.push(await slidingFirst(front, user, 100, WARM / 4));
      for (const clients of [1, 10, 50]) {
        say(`Sliding sync, ${clients} at once, ${SECONDS} times a second`);
        rows.push(await slidingThroughput(front, user, pid, clients, SECONDS));
      }
      say(`Sliding sync, wake-ups, ${WAKES} times`);
      rows.push(...(await slidingWakeUps(front, user, sender, roomId, WAKES)));
    }
    if (!groups.has("memory")) return;
    rows.push({ work: "resident memory, no account", unit: "MB", ours: [empty] });
    rows.push({ work: `resident memory, one account of ${ROOMS} rooms`, unit: "MB", ours: [afterOne] });
    rows.push({ work: "resident memory after all of the above", unit: "MB", ours: [await residentMemory(pid)] });
  });
  const summaries = rows.map(summarize);
  process.stdout.write(`${table(summaries)}\n`);
  if (values.compare !== undefined) {
    const before = JSON.parse(await readFile(values.compare, "utf8")) as { readonly rows: readonly Summary[] };
    process.stdout.write(`\n${compared(before.rows, summaries)}\n`);
  }
  if (values.json !== undefined) {
    const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version };
    await writeFile(values.json, `${JSON.stringify({ at: new Date().toISOString(), machine, rooms: ROOMS, rows: summaries }, null, 2)}\n`);
  }
} finally {
  await synapse.stop();
}
