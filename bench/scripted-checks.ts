/**
 * `node bench/scripted-checks.ts [--accounts N] [--rounds N] [--seconds N] [--restored N] [--whole MS] [-- FLAGS of the server]`: what questions to the
 * homeserver that no client waits for cost. In turns, after restarts: without clients, so that hardly an account's rooms are compared, and with a client of
 * each account, so that all are. Then the homeserver of `--restored` accounts is restored from a backup.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SecretBox } from "../src/base/secret-box.ts";
import { type EmbeddedDatabase, startEmbeddedDatabase } from "../src/cli/embedded-database.ts";
import { connect, type Sql } from "../src/store/db.ts";
import { registerToken, sealToken } from "../src/store/tokens.ts";
import type { UserId } from "../src/wire/ids.ts";
import { cpuMs, processTree } from "./processes.ts";
import { inParallel, ScriptedHomeserver } from "./scripted-homeserver.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: "boolean", default: false },
    accounts: { type: "string", default: "1000" },
    rounds: { type: "string", default: "2" },
    /** That each half of a round is measured. */
    seconds: { type: "string", default: "60" },
    /** Accounts of the homeserver that is restored; 0: none is. */
    restored: { type: "string", default: "1000" },
    /** How long the homeserver takes for a sync without `since`, ms. */
    whole: { type: "string", default: "100" },
    /** The server's -checks-per-second. */
    rate: { type: "string", default: "5" },
  },
});
if (values.help) {
  process.stdout.write(
    "node bench/scripted-checks.ts [--accounts 1000] [--rounds 2] [--seconds 60] [--restored 1000] [--whole 100] [--rate 5] [-- FLAGS]\n" +
      "  --accounts  polled accounts; --rounds  restarts without and with a client of each, in turns; --seconds  each is measured\n" +
      "  --restored  accounts of a homeserver that is restored from a backup, 0: none; --whole  ms that its sync without since takes\n" +
      "  --rate      the server's -checks-per-second\n",
  );
  process.exit(0);
}
const [accounts, rounds, seconds, restored] = [values.accounts, values.rounds, values.seconds, values.restored].map(Number) as [
  number,
  number,
  number,
  number,
];
const SECRET = "a secret of the bench";
const FEW = 20;
/** Of more accounts most have no rooms, because their first syncs would take too long. */
const MOST_WITH_ROOMS = 2000;
const ACCOUNT = "/_matrix/client/unstable/syncv3/account";
/** Accounts with more rooms than a first answer has. */
const LARGE = 20;

const say = (text: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
const told = (figures: readonly number[]) => `${percentile(figures, 50).toFixed(1)} / ${percentile(figures, 99).toFixed(1)} ms (${figures.length})`;

async function post(url: string, token: string, path: string, body: string): Promise<string> {
  const response = await fetch(url + path, { headers: { authorization: `Bearer ${token}` }, method: "POST", body });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text.slice(0, 200)}`);
  return text;
}

/** A client comes back: with a new connection, so that the account is checked within seconds, or with an old one: within 10 minutes. */
async function back(url: string, token: string): Promise<void> {
  if (accounts <= MOST_WITH_ROOMS) await post(url, token, `${PATH}?timeout=0`, JSON.stringify(listBody("back", 19)));
  else await fetch(url + ACCOUNT, { headers: { authorization: `Bearer ${token}` } }).then((response) => response.text());
}

/** A database, and the servers on it, one after the other. */
type Bench = { readonly homeserver: ScriptedHomeserver; readonly database: EmbeddedDatabase; readonly sql: Sql };

async function withBench(count: number, rooms: (n: number) => number, use: (bench: Bench) => Promise<void>): Promise<void> {
  const homeserver = await ScriptedHomeserver.start(count, rooms);
  const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
  const database = await startEmbeddedDatabase({ directory });
  const sql = connect(database.options, 2);
  try {
    await use({ homeserver, database, sql });
  } finally {
    await sql.end();
    await database.stop();
    await rm(directory, { recursive: true, force: true });
    await homeserver.stop();
  }
}

const serve = ({ homeserver, database }: Bench, rate: string, use: (url: string, pid: number) => Promise<void>) =>
  withServer(homeserver.url, ["-db", database.dsn, "-secret", SECRET, "-checks-per-second", rate, ...positionals], use);

/** Resolves when all accounts are polled by the server that was started last. */
async function polled(homeserver: ScriptedHomeserver): Promise<void> {
  homeserver.begin();
  while (homeserver.polling < homeserver.tokens.length) await delay(500);
  say(`all accounts are polled; load ${loadavg()[0]?.toFixed(1)}`);
}

/** All accounts' first syncs, and their first checks. Those without rooms are written into the database. */
async function populate(bench: Bench): Promise<void> {
  const { homeserver, sql } = bench;
  const box = new SecretBox(SECRET);
  await serve(bench, "500", async (url) => {
    let done = 0;
    await inParallel(16, [...homeserver.tokens.entries()], async ([n, token]) => {
      if (homeserver.hasRooms(n)) await post(url, token, `${PATH}?timeout=0`, JSON.stringify(listBody("first", 19)));
      else await registerToken(sql, { ...sealToken(box, token), userId: homeserver.userOf(n) as UserId, deviceId: "DEV" });
      done += 1;
      if (done % 500 === 0) say(`${done} accounts are synced`);
    });
    await polled(homeserver);
    // Until hardly any are asked: each day's are spread over the day.
    for (let before = -FEW; before + FEW <= homeserver.questions.length; await delay(20_000)) before = homeserver.questions.length;
  });
  await sql`update accounts set check_at = now() + (0.1 + random()) * interval '1 day'`;
  say("all accounts were checked once");
}

type Half = { lags: number[]; answers: number[]; asked: number; most: number; requests: number; server: number; database: number };
const empty = (): Half => ({ lags: [], answers: [], asked: 0, most: 0, requests: 0, server: 0, database: 0 });

/** A restart, and what is measured after it. `clients`: one of each account comes back. */
async function half(bench: Bench, clients: boolean, into: Half): Promise<void> {
  const { homeserver } = bench;
  await serve(bench, values.rate, async (url, pid) => {
    await polled(homeserver);
    if (clients) await inParallel(8, homeserver.tokens, (token) => back(url, token));
    // What the return of the clients itself costs is not measured.
    await delay(5000);
    const used = async () => ({
      server: (await cpuMs(await processTree(pid))).server,
      database: (await cpuMs(await processTree(process.pid))).database,
    });
    const [from, requests] = [await used(), homeserver.requests];
    homeserver.measure();
    const end = performance.now() + seconds * 1000;
    for (let n = 0; performance.now() < end; n += 1) {
      homeserver.deliver(Math.floor(Math.random() * accounts));
      const started = performance.now();
      const text = await post(url, homeserver.tokens[n % LARGE] ?? "", `${PATH}?timeout=0`, JSON.stringify(listBody(`c${n}`, 19)));
      into.answers.push(performance.now() - started);
      if (Object.keys((JSON.parse(text) as { rooms: object }).rooms).length !== 20) throw new Error("a first answer has not 20 rooms");
      await delay(100);
    }
    const to = await used();
    into.lags.push(...homeserver.lags);
    into.asked += homeserver.questions.length;
    into.most = Math.max(into.most, homeserver.mostASecond());
    into.requests += homeserver.requests - requests;
    into.server += to.server - from.server;
    into.database += to.database - from.database;
    say(`${clients ? "with" : "without"} clients: ${homeserver.questions.length} questions, load ${loadavg()[0]?.toFixed(1)}`);
  });
}

async function compare(bench: Bench): Promise<void> {
  await populate(bench);
  const [without, having] = [empty(), empty()];
  for (let round = 0; round < rounds; round += 1) {
    say(`round ${round + 1} of ${rounds}`);
    await half(bench, false, without);
    await half(bench, true, having);
  }
  const spent = seconds * rounds;
  const aDay = (ms: number) => ((ms / spent / accounts) * 86_400 * 0.001).toFixed(1);
  for (const [name, { lags, answers, asked, most, requests, server, database }] of Object.entries({ without, with: having })) {
    process.stdout.write(
      `${name} checks, ${accounts} accounts, ${spent} s: ${asked} questions, at most ${most} in a second; p50 / p99: lag of polls ${told(lags)}, ` +
        `first answers of 20 rooms ${told(answers)}; an account and day at this rate: ${((requests / spent / accounts) * 86_400).toFixed(0)} requests, ` +
        `processor time: server ${aDay(server)} s, database ${aDay(database)} s\n`,
    );
  }
  const ratio = (p: number, of: (one: Half) => readonly number[]) => (percentile(of(having), p) / percentile(of(without), p)).toFixed(2);
  const checks = Math.max(1, having.asked - without.asked);
  process.stdout.write(
    `with / without: lag p99 ${ratio(99, (one) => one.lags)}, first answers p50 ${ratio(50, (one) => one.answers)}, ` +
      `p99 ${ratio(99, (one) => one.answers)}; processor time of a question: server ${((having.server - without.server) / checks).toFixed(1)} ms, ` +
      `database ${((having.database - without.database) / checks).toFixed(1)} ms\n`,
  );
}

async function restore(bench: Bench): Promise<void> {
  const { homeserver } = bench;
  await populate(bench);
  await serve(bench, values.rate, async () => {
    await polled(homeserver);
    say("the homeserver is restored");
    homeserver.restore(Number(values.whole));
    const started = performance.now();
    const since = () => (performance.now() - started) / 1000;
    let first = 0;
    for (let synced = 0; synced < restored; synced = homeserver.renewed) {
      if (first === 0 && homeserver.whole.length > 0) first = since();
      if (Math.floor(since()) % 10 === 0) say(`${homeserver.renewed} of ${restored} accounts are synced from scratch`);
      await delay(1000);
    }
    process.stdout.write(
      `restored, ${restored} accounts, a sync without since takes ${values.whole} ms: at most ${homeserver.peakWhole} of them at once, ` +
        `${homeserver.whole.length} in all; the first after ${first.toFixed(0)} s, all are synced after ${since().toFixed(0)} s\n`,
    );
  });
}

if (rounds > 0) await withBench(accounts, (n) => (n < LARGE ? 25 : accounts > MOST_WITH_ROOMS ? 0 : 2), compare);
if (restored > 0) await withBench(restored, () => 2, restore);
