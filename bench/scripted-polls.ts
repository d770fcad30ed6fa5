/**
 * `node bench/scripted-polls.ts [--accounts N] [--polls N] [--timeout SECONDS] [--seconds N] [-- FLAGS of the server]`: what waiting long
 * polls cost. Each account is polled upstream and has so many polls waiting, which ask again as they time out.
 */

import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { residentMemory } from "./measure.ts";
import { cpuMs, processTree } from "./processes.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    accounts: { type: "string", default: "1000" },
    /** Of each account. */
    polls: { type: "string", default: "10" },
    timeout: { type: "string", default: "300" },
    seconds: { type: "string", default: "60" },
    rooms: { type: "string", default: "5" },
  },
});
const [accounts, polls, seconds] = [Number(values.accounts), Number(values.polls), Number(values.seconds)];
const AT_ONCE = 8;
const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

const homeserver = await startFakeHomeserver();
const tokens = Array.from({ length: accounts }, (_, n) => {
  const { userId, first } = scriptedAccount(`@bench${n}:bench`, Number(values.rooms), n + 1);
  const token = homeserver.login(userId);
  homeserver.queueSync(token, v2(first));
  return token;
});

await withServer(homeserver.url, positionals, async (url, pid) => {
  const over = new AbortController();
  const post = (token: string, path: string, body: string) =>
    new Promise<string>((resolve, reject) => {
      const asked = request(`${url}${path}`, { method: "POST", agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve(Buffer.concat(chunks).toString()));
        response.on("error", reject);
      });
      asked.on("error", reject);
      asked.end(body);
    });
  const posOf = (text: string) => {
    const { pos } = JSON.parse(text) as { pos?: string };
    if (pos === undefined) throw new Error(text);
    return pos;
  };
  const begun: { token: string; body: string; pos: string }[] = [];
  const waiting = tokens.flatMap((token) => Array.from({ length: polls }, (_, i) => ({ token, body: JSON.stringify(listBody(`poll-${i}`, 19)) })));
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let one = waiting.pop(); one; one = waiting.pop())
        begun.push({ ...one, pos: posOf(await post(one.token, `${PATH}?timeout=0`, one.body)) });
    }),
  );
  await Promise.all(tokens.map((token) => homeserver.waitForPoll(token, 120_000)));
  await delay(5000);
  const before = await residentMemory(pid);
  const loops = begun.map(async (one) => {
    let { pos } = one;
    while (!over.signal.aborted)
      pos = posOf(await post(one.token, `${PATH}?timeout=${Number(values.timeout) * 1000}&pos=${encodeURIComponent(pos)}`, one.body));
  });
  for (const loop of loops) loop.catch(() => {}); // ended with the server
  await delay(10_000);
  const waited = await residentMemory(pid);
  const from = await cpuMs(await processTree(pid));
  await delay(seconds * 1000);
  const to = await cpuMs(await processTree(pid));
  over.abort();
  const share = (ms: number) => ((ms / (seconds * 1000)) * 100).toFixed(1);
  process.stdout.write(
    `${accounts} accounts, ${accounts * polls} polls of ${values.timeout} s: resident ${before.toFixed(0)} MB before, ${waited.toFixed(0)} MB with them ` +
      `(${(((waited - before) * 1024) / (accounts * polls)).toFixed(1)} KiB each); of a core: server ${share(to.server - from.server)} %, database ${share(to.database - from.database)} %\n`,
  );
});
agent.destroy();
await homeserver.stop();
