/**
 * `node bench/scripted-wake-ups.ts [--api v3] [--rooms N] [--times N] [--load N]`: from the homeserver's v2 answer leaving it to the answer
 * of the waiting poll of sliding sync or sync v3 arriving. `--load`: meanwhile 200 other accounts hear so many responses a second, of one event each. The scripted homeserver and the client are one process, so that one clock tells both.
 */

import { Agent, type OutgoingHttpHeaders, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ev, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { V3, v3List } from "./measure.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values } = parseArgs({
  options: {
    api: { type: "string", default: "sliding" },
    rooms: { type: "string", default: "100" },
    times: { type: "string", default: "300" },
    load: { type: "string", default: "0" },
  },
});
// Of a room that the list has not sent, sync v3 tells what notifies, and no more.
if (values.api === "v3" && Number(values.rooms) > 100) throw new Error("--rooms is 100 at most with --api v3");
const [times, load] = [Number(values.times), Number(values.load)];
/** How each API is asked, and where its token stands in a request and in an answer. */
const SLIDING_API = { path: PATH, body: listBody("wake", 99), asked: "pos", told: "pos" };
const V3_API = { path: V3, body: v3List(100), asked: "since", told: "next" };
const OTHERS = 200;
/** How often some of the others' responses are sent, ms. */
const TICK_MS = 2;
/** A poll has to be waiting before an event is sent, ms. */
const SETTLE_MS = 20;
const agent = new Agent({ keepAlive: true });

const homeserver = await startFakeHomeserver();
const { rooms, first } = scriptedAccount("@bench:bench", Number(values.rooms));
const token = homeserver.login("@bench:bench");
homeserver.queueSync(token, v2(first));
const others = Array.from({ length: load > 0 ? OTHERS : 0 }, (_, n) => {
  const account = scriptedAccount(`@other${n}:bench`, 10, n + 2);
  const other = homeserver.login(account.userId);
  homeserver.queueSync(other, v2(account.first));
  return { token: other, room: account.rooms[0] ?? "" };
});
const figures: number[] = [];
let told = 0;
await withServer(homeserver.url, [], async (url) => {
  const api = values.api === "v3" ? V3_API : SLIDING_API;
  const body = JSON.stringify(api.body);
  const headersOf = (of: string) => ({
    authorization: `Bearer ${of}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  const ask = async (pos?: string): Promise<{ pos: string; text: string; at: number }> => {
    const query = pos === undefined ? "timeout=0" : `timeout=20000&${api.asked}=${encodeURIComponent(pos)}`;
    const { status, text, at } = await post(`${url}${api.path}?${query}`, headersOf(token), body);
    if (status !== 200) throw new Error(`${status}: ${text}`);
    return { pos: (JSON.parse(text) as Record<string, string>)[api.told] ?? "", text, at };
  };
  for (const other of others) await post(`${url}${PATH}?timeout=0`, headersOf(other.token), body);
  await Promise.all(others.map((other) => homeserver.waitForPoll(other.token, 60_000)));
  const started = performance.now();
  const ticking = setInterval(() => {
    for (const due = ((performance.now() - started) * load) / 1000; told < due; told += 1) {
      const other = others[told % others.length];
      if (other) homeserver.queueSync(other.token, v2({ join: { [other.room]: { timeline: [ev.message("@puppet1:bench")] } } }));
    }
  }, TICK_MS);
  let { pos } = await ask();
  for (let i = 0; i < times; i += 1) {
    const event = ev.message("@puppet1:bench", `wake ${i}.`);
    homeserver.forget();
    const waiting = ask(pos);
    await delay(SETTLE_MS);
    await homeserver.waitForPoll(token);
    // As homeservers do that load members lazily: who sends for the first time comes along.
    const state = i < rooms.length ? [ev.member("@puppet1:bench", "join")] : [];
    homeserver.queueSync(token, v2({ join: { [rooms[i % rooms.length] ?? ""]: { state, timeline: [event] } } }));
    let answer = await waiting;
    const sent = homeserver.polls(token).findLast((poll) => poll.sentAt !== undefined)?.sentAt ?? Number.NaN;
    while (!answer.text.includes(event.event_id)) answer = await ask(answer.pos);
    ({ pos } = answer);
    figures.push(answer.at - sent);
  }
  clearInterval(ticking);
  told /= (performance.now() - started) / 1000;
});
agent.destroy();
await homeserver.stop();
process.stdout.write(
  `wake-up: p50 ${percentile(figures, 50).toFixed(2)} ms, p99 ${percentile(figures, 99).toFixed(2)} ms (${figures.length})${load > 0 ? `, beside ${told.toFixed(0)} responses a second` : ""}\n`,
);

/** `at`: when the whole answer was there. With as little of its own as possible: what takes time here is told of the server. */
function post(url: string, headers: OutgoingHttpHeaders, body: string): Promise<{ status: number | undefined; text: string; at: number }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: "POST", agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const at = performance.now();
        resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString(), at });
      });
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(body);
  });
}
