/**
 * `npm run bench [-- --rooms N] [--json FILE]`: figures of this server in front of a Synapse of its own, beside that Synapse's own APIs in
 * the same run. Client, both servers and the database share the machine. Not a test: nothing fails on milliseconds.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "../test/support/command.ts";
import { startSynapse } from "../test/support/synapse.ts";
import type { TestUser } from "../test/support/synapse-api.ts";
import { coldFirst, residentMemory, wakeUps, warmFirst } from "./measure.ts";
import { populate } from "./population.ts";
import { slidingFirst, slidingThroughput, slidingWakeUps } from "./sliding.ts";
import { type Row, summarize, table } from "./stats.ts";

const { values } = parseArgs({ options: { rooms: { type: "string", default: "100" }, json: { type: "string" } } });
const ROOMS = Number(values.rooms);
if (!Number.isInteger(ROOMS) || ROOMS < 20) throw new Error("--rooms takes a whole number of 20 or more");
const COLD = 5;
const WARM = 200;
const WAKES = 100;
const SECONDS = 5;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** The server in a new data directory. */
async function withServer<T>(homeserver: string, use: (url: string, pid: number) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
  const command = runCommand(["-server", homeserver, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "warn"]);
  try {
    const url = (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "";
    return await use(url, command.pid);
  } finally {
    command.signal("SIGTERM");
    await command.ended;
    await rm(directory, { recursive: true, force: true });
  }
}

const synapse = await startSynapse({ say });
try {
  say(`Making an account with ${ROOMS} rooms`);
  const { user, puppets, rooms } = await populate(synapse.users, ROOMS, say);
  const rows: Row[] = [];
  say(`Cold, ${COLD} times`);
  const cold: { ours: number; v2: number }[] = [];
  for (let i = 0; i < COLD; i += 1) cold.push(await withServer(synapse.url, (url) => coldFirst(user.at(url), user)));
  rows.push({
    work: `first request of an account of ${ROOMS} rooms, cold`,
    unit: "ms",
    ours: cold.map((c) => c.ours),
    peer: { name: "Synapse v2 first sync", figures: cold.map((c) => c.v2) },
  });
  await withServer(synapse.url, async (url, pid) => {
    const front = user.at(url);
    const empty = await residentMemory(pid);
    await coldFirst(front, user);
    const afterOne = await residentMemory(pid);
    say(`Warm, ${WARM} times`);
    await warmFirst(front, user, 20);
    rows.push(await warmFirst(front, user, WARM));
    say(`Wake-ups, ${WAKES} times`);
    const v2Device: TestUser = await synapse.users.login("bench", "BENCH2");
    const [roomId] = rooms;
    const [sender] = puppets;
    if (roomId === undefined || !sender) throw new Error("there is no room");
    await sender.join(roomId);
    rows.push(...(await wakeUps(front, v2Device, sender, roomId, WAKES)));
    say(`Sliding sync, warm, ${WARM} times`);
    await slidingFirst(front, user, 20, 20);
    rows.push(await slidingFirst(front, user, 20, WARM));
    if (ROOMS >= 100) rows.push(await slidingFirst(front, user, 100, WARM / 4));
    for (const clients of [1, 10, 50]) {
      say(`Sliding sync, ${clients} at once, ${SECONDS} times a second`);
      rows.push(await slidingThroughput(front, user, clients, SECONDS));
    }
    say(`Sliding sync, wake-ups, ${WAKES} times`);
    rows.push(...(await slidingWakeUps(front, user, sender, roomId, WAKES)));
    rows.push({ work: "resident memory, no account", unit: "MB", ours: [empty] });
    rows.push({ work: `resident memory, one account of ${ROOMS} rooms`, unit: "MB", ours: [afterOne] });
    rows.push({ work: "resident memory after all of the above", unit: "MB", ours: [await residentMemory(pid)] });
  });
  const summaries = rows.map(summarize);
  process.stdout.write(`${table(summaries)}\n`);
  if (values.json !== undefined) {
    const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version };
    await writeFile(values.json, `${JSON.stringify({ at: new Date().toISOString(), machine, rooms: ROOMS, rows: summaries }, null, 2)}\n`);
  }
} finally {
  await synapse.stop();
}
