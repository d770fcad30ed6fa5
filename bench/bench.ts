/** `npm run bench`: see USAGE. Client, both servers and the database share the machine. Not a test: nothing fails on milliseconds. */

import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { startSynapse } from "../test/support/synapse.ts";
import { anyServer } from "./any-server.ts";
import { type Cold, coldFirst, residentMemory, wakeUps, warmFirst } from "./measure.ts";
import { populate } from "./population.ts";
import { withServer } from "./servers.ts";
import { slidingFirst, slidingThroughput, slidingWakeUps } from "./sliding.ts";
import { compared, type Row, summarize, type Summary, table } from "./stats.ts";

const USAGE = `npm run bench [-- OPTIONS]

Figures of this server in front of a Synapse of its own, beside that Synapse's own APIs in the same run:
  --rooms N        rooms of the account that is made (100)
  --only WORDS     which groups, by commas: cold, v3, sliding, memory (all)

Figures of any server, with an account that is there; nothing is written to it:
  --url URL        base URL, as of a homeserver
  --token TOKEN    access token; or by the environment variable BENCH_TOKEN
  --peer URL       another server that takes the same token, as a homeserver that the first stands in front of
  --rooms N        rooms that are asked for (20)
  --clients LIST   how many ask at once, by commas (1)
  --seconds N      for how long each time (5)

Both:
  --json FILE      writes the figures
  --compare FILE   what has changed since --json wrote that file
`;
const { values } = parseArgs({
  options: {
    rooms: { type: "string" },
    only: { type: "string", default: "cold,v3,sliding,memory" },
    url: { type: "string" },
    token: { type: "string", default: process.env["BENCH_TOKEN"] ?? "" },
    peer: { type: "string" },
    clients: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
    json: { type: "string" },
    compare: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}

/** A number that an option gives, at least `least`. */
function counted(name: string, text: string, least: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= least) return count;
  process.stderr.write(`--${name} takes a whole number of ${least} or more, not ${text}\n`);
  process.exit(2);
}
const ROOMS = values.url === undefined ? counted("rooms", values.rooms ?? "100", 20) : counted("rooms", values.rooms ?? "20", 1);
const groups = new Set(values.only.split(","));
const COLD = 5;
const WARM = 200;
const WAKES = 100;
const SECONDS = 5;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** In front of a Synapse of its own. */
async function ownServer(): Promise<Row[]> {
  const synapse = await startSynapse({ say });
  try {
    say(`Making an account with ${ROOMS} rooms`);
    const { user, puppets, rooms } = await populate(synapse.users, ROOMS, say);
    const rows: Row[] = [];
    if (groups.has("cold")) {
      say(`Cold, ${COLD} times`);
      const cold: Cold[] = [];
      for (let i = 0; i < COLD; i += 1) cold.push(await withServer(synapse.url, [], (url) => coldFirst(user.at(url), user)));
      const peer = { name: "Synapse v2 first sync", figures: cold.map((c) => c.v2) };
      rows.push({ work: `cold account of ${ROOMS} rooms: first answer of sliding sync`, unit: "ms", ours: cold.map((c) => c.first), peer });
      rows.push({ work: "the same: all of it stored, first answer of sync v3", unit: "ms", ours: cold.map((c) => c.whole), peer });
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
    return rows;
  } finally {
    await synapse.stop();
  }
}

async function otherServer(url: string): Promise<Row[]> {
  const clients = values.clients.split(",").map((text) => counted("clients", text, 1));
  const { token, peer } = values;
  if (token === "") throw new Error("--url needs an access token: --token or the environment variable BENCH_TOKEN");
  return await anyServer({ url, peer, token, rooms: ROOMS, clients, seconds: counted("seconds", values.seconds, 1) }, say);
}

async function report(rows: readonly Row[]): Promise<void> {
  const summaries = rows.map(summarize);
  process.stdout.write(`${table(summaries, values.url === undefined ? "syncv3" : new URL(values.url).host)}\n`);
  if (values.compare !== undefined) {
    const before = JSON.parse(await readFile(values.compare, "utf8")) as { readonly rows: readonly Summary[] };
    process.stdout.write(`\n${compared(before.rows, summaries)}\n`);
  }
  if (values.json !== undefined) {
    const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version };
    await writeFile(values.json, `${JSON.stringify({ at: new Date().toISOString(), machine, rooms: ROOMS, rows: summaries }, null, 2)}\n`);
  }
}

try {
  await report(values.url === undefined ? await ownServer() : await otherServer(values.url));
} catch (error) {
  if (values.url === undefined) throw error;
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
