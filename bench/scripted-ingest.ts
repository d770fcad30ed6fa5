/**
 * `node bench/scripted-ingest.ts [--accounts N] [--responses N] [--events N] [-- FLAGS of the server]`: how fast v2 answers are taken from a
 * scripted homeserver and stored, durably. Each account's answers are there at once: its poller asks for the next as it has stored one.
 */

import { parseArgs } from "node:util";
import { ev, type MatrixEvent, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { cpuMs, processTree } from "./processes.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { PATH } from "./sliding.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    accounts: { type: "string", default: "200" },
    responses: { type: "string", default: "20" },
    events: { type: "string", default: "50" },
    rooms: { type: "string", default: "10" },
  },
});
const [accounts, responses, events] = [Number(values.accounts), Number(values.responses), Number(values.events)];
const AT_ONCE = 8;

const homeserver = await startFakeHomeserver();
const users = Array.from({ length: accounts }, (_, n) => {
  const { userId, rooms, first } = scriptedAccount(`@bench${n}:bench`, Number(values.rooms), n + 1);
  const token = homeserver.login(userId);
  homeserver.queueSync(token, v2(first));
  return { token, rooms };
});

await withServer(homeserver.url, positionals, async (url, pid) => {
  const begin = async ({ token }: { token: string }) => {
    const response = await fetch(`${url}${PATH}?timeout=0`, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: "{}" });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    await homeserver.waitForPoll(token, 60_000);
  };
  const waiting = [...users];
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let user = waiting.pop(); user; user = waiting.pop()) await begin(user);
    }),
  );
  const answers = users.map(({ rooms }) =>
    Array.from({ length: responses }, (_, n) => {
      const join: Record<string, { timeline: MatrixEvent[] }> = {};
      for (let i = 0; i < events; i += 1)
        (join[rooms[(n + i) % Math.min(rooms.length, 5)] ?? ""] ??= { timeline: [] }).timeline.push(ev.message("@puppet1:bench", "x".repeat(200)));
      return v2({ join });
    }),
  );
  const before = await cpuMs(await processTree(pid));
  const started = performance.now();
  for (const [i, user] of users.entries()) homeserver.queueSync(user.token, ...(answers[i] ?? []));
  await Promise.all(users.map(({ token }) => homeserver.waitForPoll(token, 600_000)));
  const seconds = (performance.now() - started) / 1000;
  const after = await cpuMs(await processTree(pid));
  const stored = accounts * responses;
  const per = (ms: number) => (ms / stored).toFixed(2);
  process.stdout.write(
    `${accounts} accounts, ${events} events a response: ${((stored * events) / seconds).toFixed(0)} events/s, ${(stored / seconds).toFixed(0)} responses/s for ${seconds.toFixed(1)} s; ` +
      `CPU a response: server ${per(after.server - before.server)} ms, database ${per(after.database - before.database)} ms\n`,
  );
});
await homeserver.stop();
