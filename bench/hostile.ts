/**
 * `node bench/hostile.ts [--rooms N] [--runs N] [--seconds N] [--clients N] [--only NAME] [-- FLAGS of the server]`: what a
 * hostile client costs the others. Each of twelve requests is sent again and again, as large as a body can be and at the bounds, beside
 * a client that does what Element X does on an account of a thousand rooms.
 *
 * For each: p99 of the other client's answers alone and beside the hostile one, the event loop's longest gap (by the clock, and in the
 * thread's own processor time), and memory after a garbage collection before and after. Medians of the runs.
 */

import { Agent, request } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ev, type RoomParts, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import type { ProbeReport } from "./event-loop-probe.ts";
import { hostileRequests, type HostileRequest } from "./hostile-requests.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rooms: { type: "string", default: "1000" },
    runs: { type: "string", default: "5" },
    /** Of each measurement; the hostile client's last requests may take longer. */
    seconds: { type: "string", default: "2" },
    /** Hostile requests at the same time. */
    clients: { type: "string", default: "4" },
    only: { type: "string" },
  },
});
const [SECONDS, CLIENTS, RUNS] = [Number(values.seconds), Number(values.clients), Number(values.runs)];
/** A measurement ends after so long, answered or not, ms. */
const PATIENCE_MS = 30_000;
const SPACES = 20;
const CHILDREN = 500;

const agent = new Agent({ keepAlive: true, maxSockets: 64 });
type Reply = { readonly status: number; readonly text: string };

function post(url: string, token: string, body: object, signal: AbortSignal): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: "POST", agent, signal, headers: { authorization: `Bearer ${token}` } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(JSON.stringify(body));
  });
}

function probe(socketPath: string): Promise<ProbeReport> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/" }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve(JSON.parse(text) as ProbeReport));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** What Element X does: a first answer, then polls. Each answer's time, ms; one that does not come within the patience counts as that. */
async function wellBehaved(url: string, token: string, until: () => boolean): Promise<number[]> {
  const figures: number[] = [];
  const body = listBody("good", 99);
  const ask = async (query: string): Promise<Reply> => {
    const started = performance.now();
    try {
      return await post(`${url}${PATH}?${query}`, token, body, AbortSignal.timeout(PATIENCE_MS));
    } catch {
      return { status: 0, text: "" };
    } finally {
      figures.push(performance.now() - started);
    }
  };
  while (!until()) {
    const first = await ask("timeout=0");
    const pos = /"pos":"([^"]+)"/.exec(first.text)?.[1];
    if (pos === undefined) continue;
    for (let i = 0; i < 4 && !until(); i += 1) await ask(`timeout=0&pos=${encodeURIComponent(pos)}`);
  }
  return figures;
}

/** Sends a request again and again; by status how many answers came. */
async function attack(url: string, token: string, hostile: HostileRequest, until: () => boolean): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const attackers = Array.from({ length: CLIENTS }, async (_, client) => {
    let from: string | null = null;
    for (let n = 0; !until(); n += 1) {
      const query: string =
        from === null ? "timeout=0" : `timeout=0&${hostile.path.includes("msc3575") ? "pos" : "since"}=${encodeURIComponent(from)}`;
      const body = hostile.body(client * 100_000 + n, null);
      // Each attacker is a connection of its own.
      const own = "conn_id" in body ? { ...body, conn_id: `hostile-${client}` } : body;
      const { status, text } = await post(`${url}${hostile.path}?${query}`, token, own, signal).catch(() => ({ status: 0, text: "" }));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const told = /^\{"pos":"([^"]+)"/.exec(text)?.[1] ?? /"next":"([^"]+)"\}$/.exec(text)?.[1] ?? null;
      from = hostile.goesOn && status === 200 ? told : null;
      if (status === 0) return;
    }
  });
  await Promise.all(attackers);
  return statuses;
}

type Figures = { readonly alone: number; readonly beside: number; readonly gap: number; readonly busy: number; readonly grown: number };

const homeserver = await startFakeHomeserver();
const rooms = Number(values.rooms);
const good = scriptedAccount("@good:bench", rooms, 1);
const bad = scriptedAccount("@bad:bench", rooms, 2);
const spaces = Array.from({ length: SPACES }, (_, n) => `!space${n}:bench`);
const spaceRooms = spaces.map((space, n) => {
  const children = Array.from({ length: CHILDREN }, (_unused, i) => bad.rooms[(n * 50 + i) % rooms] ?? "");
  const state = [
    ev.state("m.room.create", "", "@bad:bench", { type: "m.space", room_version: "10" }),
    ev.member("@bad:bench", "join"),
    ...children.map((child) => ev.state("m.space.child", child, "@bad:bench", { via: ["bench"] })),
  ];
  const parts: RoomParts = { state, timeline: [ev.message("@bad:bench")] };
  return [space, parts] as const;
});
const tokens = { good: homeserver.login("@good:bench"), bad: homeserver.login("@bad:bench") };
homeserver.queueSync(tokens.good, v2(good.first));
homeserver.queueSync(tokens.bad, v2({ ...bad.first, join: { ...bad.first.join, ...Object.fromEntries(spaceRooms) } }));

const directory = await mkdtemp(join(tmpdir(), "syncv3-hostile-"));
const socket = join(directory, "probe");
const preload = pathToFileURL(join(import.meta.dirname, "event-loop-probe.ts"));
preload.searchParams.set("socket", socket);
process.env["NODE_OPTIONS"] = `${process.env["NODE_OPTIONS"] ?? ""} --import ${preload.href}`;

const requests = (["over", "at"] as const).flatMap((kind) =>
  hostileRequests({ rooms: bad.rooms, spaces }, kind).map((one) => ({ ...one, name: `${one.name} (${kind === "at" ? "at the bounds" : "1 MiB"})` })),
);
const measured = new Map<string, { readonly figures: Figures[]; readonly statuses: Map<number, number> }>();

async function measure(url: string, hostile: HostileRequest): Promise<Figures & { statuses: Map<number, number> }> {
  const during = (ms: number) => {
    const end = performance.now() + ms;
    return () => performance.now() > end;
  };
  const before = await probe(socket);
  const alone = await wellBehaved(url, tokens.good, during(SECONDS * 500));
  await probe(socket);
  let over = false;
  const timely = during(SECONDS * 1000);
  const [statuses, beside] = await Promise.all([
    attack(url, tokens.bad, hostile, timely).finally(() => (over = true)),
    wellBehaved(url, tokens.good, () => over && timely()),
  ]);
  const after = await probe(socket);
  // What has just been sent is let go of with the next turn.
  const settled = await probe(socket);
  return {
    alone: percentile(alone, 99),
    beside: percentile(beside, 99),
    gap: after.gapMs,
    busy: after.busyMs,
    grown: settled.heapMB - before.heapMB,
    statuses,
  };
}

await withServer(homeserver.url, positionals, async (url) => {
  for (const token of [tokens.good, tokens.bad]) {
    const body = listBody("first", 99);
    for (let told = 0; told < 100;) {
      const { text } = await post(`${url}${PATH}?timeout=0`, token, body, AbortSignal.timeout(120_000));
      told = Object.keys((JSON.parse(text) as { rooms?: object }).rooms ?? {}).length;
    }
  }
  const warm = performance.now() + 1000;
  await wellBehaved(url, tokens.good, () => performance.now() > warm);
  const chosen = requests.filter((one) => values.only === undefined || one.name.includes(values.only));
  for (let run = 0; run < RUNS; run += 1) {
    for (const hostile of chosen) {
      const { statuses, ...figures } = await measure(url, hostile);
      const known = measured.get(hostile.name) ?? { figures: [], statuses: new Map<number, number>() };
      known.figures.push(figures);
      for (const [status, count] of statuses) known.statuses.set(status, (known.statuses.get(status) ?? 0) + count);
      measured.set(hostile.name, known);
      process.stderr.write(`${run + 1} ${hostile.name}: ${JSON.stringify(figures)} ${JSON.stringify([...statuses])}\n`);
    }
  }
});

const median = (pick: (figures: Figures) => number, of: readonly Figures[]) => percentile(of.map(pick), 50).toFixed(0);
process.stdout.write(
  `| hostile request | answers | others' p99 alone, ms | beside it, ms | longest gap, ms | most work in one turn, ms | heap grown, MB |\n|---|---|---|---|---|---|---|\n`,
);
for (const [name, { figures, statuses }] of measured) {
  const answers = [...statuses].map(([status, count]) => `${count} × ${status === 0 ? "none in 30 s" : status}`).join(", ");
  const cells = [(f: Figures) => f.alone, (f: Figures) => f.beside, (f: Figures) => f.gap, (f: Figures) => f.busy, (f: Figures) => f.grown];
  process.stdout.write(`| ${name} | ${answers} | ${cells.map((pick) => median(pick, figures)).join(" | ")} |\n`);
}
agent.destroy();
await homeserver.stop();
await rm(directory, { recursive: true, force: true });
