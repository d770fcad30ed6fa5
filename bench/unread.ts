/**
 * `node bench/unread.ts [--clients N] [--megabytes N] [--seconds N] [-- FLAGS of the server]`: memory of the server while clients of polled
 * devices ask for a large v2 answer each, and do not read it (N12). Linux only: it reads /proc.
 */

import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { withServer } from "./servers.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: "string", default: "40" },
    megabytes: { type: "string", default: "20" },
    /** For how long they do not read. */
    seconds: { type: "string", default: "30" },
  },
});
const CLIENTS = Number(values.clients);
const MB = 1024 * 1024;
const SYNC = "/_matrix/client/v3/sync";

/** Resident memory of a process now, and at most since it was last reset, MB. */
async function memoryOf(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kB = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return { now: kB("VmRSS") / 1024, peak: kB("VmHWM") / 1024 };
}

/** Asks for a v2 answer, and reads nothing of it. */
function askUnread(url: string, token: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => {});
  socket.write(`GET ${SYNC}?timeout=0 HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  return socket;
}

const homeserver = await startFakeHomeserver();
const large = v2({ account_data: [{ type: "bench", content: { filler: "x".repeat(Number(values.megabytes) * MB) } }] });
const tokens = Array.from({ length: CLIENTS }, (_, n) => homeserver.login(`@unread${n}:bench`));
await withServer(homeserver.url, positionals, async (url, pid) => {
  for (const token of tokens) {
    homeserver.queueSync(token, v2({}));
    // oxlint-disable-next-line no-await-in-loop -- what is measured is not their beginning
    await fetch(url + SYNC, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: "{}" });
    // From now on a sync from scratch is the large one; the poller goes on behind it.
    homeserver.on("GET", SYNC, { body: v2({ next_batch: "s1" }) });
  }
  homeserver.on("GET", SYNC, ({ query }) => ({ body: query.has("since") ? v2({ next_batch: "s1" }) : { ...large, next_batch: "s1" } }));
  await writeFile(`/proc/${pid}/clear_refs`, "5");
  const before = await memoryOf(pid);
  const sockets = tokens.map((token) => askUnread(url, token));
  await delay(Number(values.seconds) * 1000);
  await Promise.all(sockets.map((socket) => (socket.destroy(), once(socket, "close"))));
  await delay(2000);
  const after = await memoryOf(pid);
  const row = { clients: CLIENTS, megabytes: Number(values.megabytes), before: before.now, peak: after.peak, after: after.now };
  process.stdout.write(`${JSON.stringify(row, (_key, value: unknown) => (typeof value === "number" ? Math.round(value) : value))}\n`);
});
await homeserver.stop();
