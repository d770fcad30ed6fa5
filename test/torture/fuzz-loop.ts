/**
 * Answers of a real homeserver to `GET /sync`, each with something wrong in it, go through the whole server with its database. After each
 * few of them comes a good one, which a client of each API has to be sent. The clients hold every answer against the strict checker (N6).
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { readStalls } from "../../src/store/stalls.ts";
import type { TestDatabase } from "../support/database.ts";
import { ev, type Json, newRoom, toDevice, v2 } from "../support/events.ts";
import { mutated } from "../support/mutations.ts";
import { SlidingClient, type DialectName } from "../support/sliding.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

/** What Synapse 1.163.2 answered to an account with a few rooms: a first sync and one that goes on. */
const ANSWERS = JSON.parse(readFileSync(join(import.meta.dirname, "../recordings/v2-answers.json"), "utf8")) as Json[];

export type FuzzOptions = {
  readonly minutes: number;
  readonly seed: number;
  readonly accounts: number;
  /** Default: one of the test run's. */
  readonly database?: TestDatabase;
  /** Is told how far it is, every half a minute. */
  readonly say: (line: string) => void;
};

/** `problems`: what should not have been, each with the account and the number of its answer; at most 20. */
export type FuzzReport = {
  readonly seed: number;
  readonly wrong: number;
  readonly good: number;
  readonly setAside: readonly string[];
  readonly stalled: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
};

/** Wrong answers before a good one. */
const WRONG_IN_A_ROW = 5;
const TELL_MS = 30_000;
const MOST_PROBLEMS = 20;
const EXT = {
  to_device: { enabled: true },
  e2ee: { enabled: true },
  account_data: { enabled: true },
  receipts: { enabled: true },
  typing: { enabled: true },
};
const ASK = { lists: { all: { ranges: [[0, 99]], limit: 10 } }, ext: EXT } as const;
const V3_ASK = { room_list: {}, to_device: {}, e2ee: {}, account_data: { global: true, rooms: "*" }, invites: {}, presence: {} };

export async function fuzzLoop({ minutes, seed, accounts, database, say }: FuzzOptions): Promise<FuzzReport> {
  // What could not be stored is set aside as soon as it is known: a run is to find it.
  const t = await startV3({ workers: 1, suspects: { tries: 1, patienceMs: 0 }, ...(database && { database }) });
  const until = performance.now() + minutes * 60_000;
  const report = { wrong: 0, good: 0, problems: new Array<string>() };
  const told = setInterval(() => say(`${report.wrong} wrong answers, ${report.good} good ones, ${report.problems.length} problems`), TELL_MS);
  try {
    await Promise.all(Array.from({ length: accounts }, (_, n) => fuzzAccount(t, { n, seed: seed + n, until, report })));
    const aside = await t.sql<{ error: string }[]>`select kind || ' ' || error as error from poison`;
    const stalls = await readStalls(t.sql);
    return { seed, ...report, setAside: aside.map(({ error }) => error), stalled: Object.fromEntries(stalls.accounts) };
  } finally {
    clearInterval(told);
    await t.stop();
  }
}

type Run = {
  readonly n: number;
  readonly seed: number;
  readonly until: number;
  readonly report: { wrong: number; good: number; problems: string[] };
};

async function fuzzAccount(t: V3Fixture, { n, seed, until, report }: Run): Promise<void> {
  const me = `@fuzz${n}:test`;
  const room = `!fuzz${n}:test`;
  const client = t.login(me, "PHONE", v2({ join: { [room]: { state: newRoom(me) } } }));
  // What the homeserver says of events passes as it is; all else is held against the strict checker.
  client.checksAnswers = false;
  const readers = [new V3Reader(client), new SlidingReader(client, "unstable"), new SlidingReader(client, "v4")];
  for (const reader of readers) await reader.read();
  await t.hs.waitForPoll(client.token);
  for (let round = 0; performance.now() < until && report.problems.length < MOST_PROBLEMS; round += 1) {
    const wrong = fc.sample(fc.oneof(...ANSWERS.map(mutated)), { numRuns: WRONG_IN_A_ROW, seed: seed * 1_000_003 + round });
    for (const answer of wrong) {
      if (typeof answer !== "object" || answer === null || Array.isArray(answer)) continue;
      const { next_batch: _, ...rest } = answer as Json;
      await t.deliver(client, rest);
      report.wrong += 1;
    }
    const mark = `${n}-${round}`;
    const good = { join: { [room]: { timeline: [ev.message(me, mark)] } }, to_device: [toDevice("@bob:test", { mark })] };
    await t.deliver(client, v2(good));
    report.good += 1;
    for (const reader of readers) {
      const problem = await reader.read().then(
        (text) => (text.includes(`"mark":"${mark}"`) ? null : "the message to the device did not come"),
        (error: unknown) => String(error).slice(0, 300),
      );
      if (problem !== null) report.problems.push(`account ${n}, round ${round}, ${reader.name}: ${problem}`);
    }
  }
}

/** Follows with sync v3; begins anew where its session was ended (an account that was reset, or a user who is no longer ignored). */
class V3Reader {
  readonly name = "v3";
  readonly #client: V3Client;
  #since: string | undefined;

  constructor(client: V3Client) {
    this.#client = client;
  }

  async read(): Promise<string> {
    const reply = await this.#client.request(V3_ASK, { since: this.#since });
    if (reply.status === 400 && this.#since !== undefined) {
      this.#since = undefined;
      return this.read();
    }
    if (reply.status !== 200) throw new Error(`answered ${reply.status}: ${reply.text.slice(0, 200)}`);
    this.#since = reply.body.next;
    return reply.text;
  }
}

class SlidingReader {
  readonly name: string;
  readonly #client: SlidingClient;
  #pos: string | undefined;
  #toDevice: string | undefined;

  constructor(client: V3Client, dialect: DialectName) {
    this.name = dialect;
    this.#client = new SlidingClient(client, dialect);
  }

  async read(): Promise<string> {
    const since = this.#toDevice === undefined ? {} : { since: this.#toDevice };
    const reply = await this.#client.request(
      { ...ASK, connId: this.name, ext: { ...EXT, to_device: { enabled: true, ...since } } },
      { pos: this.#pos },
    );
    if (reply.status === 400 && this.#pos !== undefined) {
      this.#pos = undefined;
      return this.read();
    }
    const answer = this.#client.read(reply);
    this.#pos = answer.pos;
    this.#toDevice = (answer.extensions["to_device"] as { next_batch?: string } | undefined)?.next_batch ?? this.#toDevice;
    return reply.text;
  }
}
