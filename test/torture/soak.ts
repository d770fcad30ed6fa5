/** `npm run soak -- [options]`: a server under steady traffic for hours. What it found goes to standard output, in JSON. */

import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { residentMemory } from "../../bench/measure.ts";
import { withServer } from "../../bench/servers.ts";
import { startFakeHomeserver } from "../support/fake-homeserver.ts";
import { SlidingClient } from "../support/sliding.ts";
import { V3Client } from "../support/v3.ts";
import { threeConsumers } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

const HELP = `npm run soak -- [options]

Runs a server in front of a scripted homeserver: each account hears something every few seconds, two sessions and a sliding sync connection of
each follow, and others come, ask once and never again. Counts what the followers lose, get twice or out of order, and tells the server's memory
and how it grew over the second half.

  --minutes N     how long (default 120)
  --accounts N    (default 30)
  --rate N        responses of the homeserver a second, all accounts together (default 10)
  --visits N      clients that come and never again, a second (default 2)
  --help
`;

const number = { type: "string" } as const;
const { values } = parseArgs({ options: { minutes: number, accounts: number, rate: number, visits: number, help: { type: "boolean" } } });
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const [minutes, count] = [Number(values.minutes ?? 120), Number(values.accounts ?? 30)];
const [rate, visits] = [Number(values.rate ?? 10), Number(values.visits ?? 2)];

type Sample = { readonly minute: number; readonly memory: number };

const homeserver = await startFakeHomeserver();
const report = await withServer(homeserver.url, ["-session-idle", "10m", "-connection-idle", "10m"], async (url, pid) => {
  const accounts = Array.from({ length: count }, (_, n) => {
    const [me, room] = [`@soak${n}:test`, `!soak${n}:test`];
    const token = homeserver.login(me, "PHONE");
    homeserver.queueSync(token, firstAnswer(me, room));
    const client = new V3Client(() => url, me, "PHONE", token);
    const followers = new Followers((changed) => threeConsumers(client, room, changed));
    return { room, token, client, followers, sent: 0 };
  });
  await Promise.all(accounts.map(({ followers }) => followers.begun()));
  const samples: Sample[] = [];
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 60_000;
  const each = async (perSecond: number, work: (n: number) => Promise<void> | void): Promise<void> => {
    if (perSecond <= 0) return;
    for (let n = 0; elapsed() < minutes; n += 1) {
      await work(n);
      await delay(1000 / perSecond);
    }
  };
  await Promise.all([
    each(rate, (n) => {
      const account = accounts[n % count] as (typeof accounts)[number];
      homeserver.queueSync(account.token, numbered(account.room, account.sent));
      account.sent += 1;
    }),
    each(visits, async (n) => {
      const { client } = accounts[(n * 7) % count] as (typeof accounts)[number];
      await client.sync({ room_list: {}, to_device: {} });
      await new SlidingClient(client, "v4").request({ connId: `visit ${n}`, lists: { all: { ranges: [[0, 19]], limit: 1 } } }, { timeout: 0 });
    }),
    each(1 / 60, async () => {
      samples.push({ minute: elapsed(), memory: await residentMemory(pid) });
      homeserver.forget();
      process.stderr.write(`${elapsed().toFixed(0)} of ${minutes} minutes: ${samples.at(-1)?.memory.toFixed(0)} MB\n`);
    }),
  ]);
  await Promise.all(accounts.map(({ followers, sent }) => followers.allHave(sent)));
  const clients = accounts.flatMap(({ followers, sent }) => followers.reports(sent).map((client) => ({ ...client, sent })));
  await Promise.all(accounts.map(({ followers }) => followers.stop()));
  return { samples, clients };
});
await homeserver.stop();

const faulty = report.clients.filter(({ sent, toDevice, events }) =>
  [toDevice, events].some((one) => JSON.stringify(one) !== JSON.stringify(whole(sent))),
);
const secondHalf = report.samples.filter(({ minute }) => minute >= minutes / 2);
const told = {
  minutes,
  responses: report.clients.reduce((sum, { sent }) => sum + sent, 0) / 3,
  clients: report.clients.length,
  faulty,
  memoryMb: Object.fromEntries(
    report.samples.filter((_, i) => i % Math.ceil(report.samples.length / 12) === 0).map((one) => [one.minute.toFixed(0), Math.round(one.memory)]),
  ),
  secondHalfMbAnHour: Number((slope(secondHalf) * 60).toFixed(1)),
};
process.stdout.write(`${JSON.stringify(told, null, 2)}\n`);
process.exitCode = faulty.length === 0 ? 0 : 1;

/** Megabytes a minute by least squares; NaN of fewer than two. */
function slope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean((one) => one.minute), mean((one) => one.memory)];
  return mean((one) => (one.minute - x) * (one.memory - y)) / mean((one) => (one.minute - x) ** 2);
}
