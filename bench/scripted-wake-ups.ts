/**
 * `node bench/scripted-wake-ups.ts [--rooms N] [--times N]`: from the homeserver's v2 answer leaving it to the answer of the waiting poll
 * arriving. The scripted homeserver and the client are one process, so that one clock tells both.
 */

import { Agent, type OutgoingHttpHeaders, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ev, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values } = parseArgs({ options: { rooms: { type: "string", default: "100" }, times: { type: "string", default: "300" } } });
const times = Number(values.times);
/** A poll has to be waiting before an event is sent, ms. */
const SETTLE_MS = 20;
const agent = new Agent({ keepAlive: true });

const homeserver = await startFakeHomeserver();
const { rooms, first } = scriptedAccount("@bench:bench", Number(values.rooms));
const token = homeserver.login("@bench:bench");
homeserver.queueSync(token, v2(first));
const figures: number[] = [];
await withServer(homeserver.url, [], async (url) => {
  const body = JSON.stringify(listBody("wake", 99));
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const ask = async (pos?: string): Promise<{ pos: string; text: string; at: number }> => {
    const query = pos === undefined ? "timeout=0" : `timeout=20000&pos=${encodeURIComponent(pos)}`;
    const { status, text, at } = await post(`${url}${PATH}?${query}`, headers, body);
    if (status !== 200) throw new Error(`${status}: ${text}`);
    return { pos: (JSON.parse(text) as { pos: string }).pos, text, at };
  };
  let { pos } = await ask();
  for (let i = 0; i < times; i += 1) {
    const event = ev.message("@puppet1:bench", `wake ${i}.`);
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
});
agent.destroy();
await homeserver.stop();
process.stdout.write(`wake-up: p50 ${percentile(figures, 50).toFixed(2)} ms, p99 ${percentile(figures, 99).toFixed(2)} ms (${figures.length})\n`);

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
