/** Histories one after the other, each in a world of its own, until time is up or something is found. */

import { startSynapse } from "../support/synapse.ts";
import { check, type Met } from "./check.ts";
import type { Found } from "./compare.ts";
import { INTENDED } from "./intended.ts";
import { CHECK, historyOf, play } from "./operations.ts";
import { OurServer } from "./our-server.ts";
import type { Step } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { type Servers, World } from "./world.ts";

const ROUNDS = 6;
const STEPS_EACH = 14;
const MOST_FOUND = 10;
/** In runs of so many minutes each row of intended.ts is met, or those without `sometimes`. */
const MINUTES_FOR_ALL = 60;
const MINUTES_FOR_MOST = 10;

export type TruthOptions = {
  readonly minutes: number;
  /** Most histories. Default: as many as there is time for. */
  readonly histories?: number;
  readonly seed: number;
  /** Of an existing, migrated database. */
  readonly dsn: string;
  /** For cutting down what is found, altogether. */
  readonly shrinkMinutes: number;
  readonly say: (line: string) => void;
  /** Is given each finding as it is made. */
  readonly keep?: (finding: Finding) => Promise<void>;
};

/** What differed, in words, and a history after which it does. */
export type Finding = { readonly seed: number; readonly words: readonly string[]; readonly steps: readonly Step[] };

export type Report = {
  readonly seed: number;
  histories: number;
  checks: number;
  readonly steps: Record<string, number>;
  readonly refused: Record<string, number>;
  /** Why a step of a kind was refused last. */
  readonly reasons: Record<string, string>;
  readonly found: Finding[];
  /** Rows of intended.ts: how often each was met. */
  readonly rows: Record<string, number>;
  /** Those of them that should have been met in so long a run: they go. */
  readonly unmet: string[];
};

export function newReport(seed: number): Report {
  return { seed, histories: 0, checks: 0, steps: {}, refused: {}, reasons: {}, found: [], rows: {}, unmet: [] };
}

export async function withServers<T>(dsn: string, say: (line: string) => void, body: (servers: Servers) => Promise<T>): Promise<T> {
  const homeserver = await startSynapse({ say });
  try {
    const server = await OurServer.start(homeserver.url, dsn);
    try {
      return await body({ homeserver, server, admin: await homeserver.users.registerAdmin("admin") });
    } finally {
      await server.end();
    }
  } finally {
    await homeserver.stop();
  }
}

export function findTruth(options: TruthOptions): Promise<Report> {
  return withServers(options.dsn, options.say, async (servers) => {
    const { seed, minutes, histories = Infinity, say } = options;
    const began = performance.now();
    const until = began + minutes * 60_000;
    const report = newReport(seed);
    const met: Met = new Map();
    for (let n = seed; n < seed + histories && performance.now() < until && report.found.length < MOST_FOUND; n += 1) {
      const steps = historyOf(n, ROUNDS, STEPS_EACH);
      say(`history ${n}`);
      const { found, played } = await playHistory(servers, steps, { met, until, report, say });
      report.histories += 1;
      if (found.length === 0) continue;
      const finding = await cutDown(servers, n, { played, found }, options);
      report.found.push(finding);
      await options.keep?.(finding);
    }
    const taken = (performance.now() - began) / 60_000;
    for (const row of INTENDED) {
      const name = `${row.path}${row.topic === undefined ? "" : ` (${row.topic})`}: ${row.why}`;
      report.rows[name] = met.get(row) ?? 0;
      if (!met.has(row) && taken >= (row.sometimes ? MINUTES_FOR_ALL : MINUTES_FOR_MOST)) report.unmet.push(name);
    }
    return report;
  });
}

type Playing = { readonly met?: Met; readonly until?: number; readonly report?: Report; readonly say?: (line: string) => void };
type Played = { readonly found: readonly Found[]; readonly played: readonly Step[] };

/** Plays steps up to the first quiet point at which something is found. */
export async function playHistory(servers: Servers, steps: readonly Step[], playing: Playing = {}): Promise<Played> {
  const { met = new Map(), until = Infinity, report, say } = playing;
  const world = await World.open(servers);
  const played: Step[] = [];
  try {
    for (const step of steps) {
      played.push(step);
      if (step.kind !== CHECK.kind) {
        await playOne(world, step, report);
        continue;
      }
      const found = await check(world, met);
      if (report) report.checks += 1;
      say?.(`  after ${played.length} steps: ${found.length === 0 ? "the same" : oneOfEach(found).join("\n    ")}`);
      if (found.length > 0) return { found, played };
      if (performance.now() > until) break;
    }
    return { found: [], played };
  } finally {
    await world.close();
  }
}

async function playOne(world: World, step: Step, report: Report | undefined): Promise<void> {
  const count = (of: Record<string, number> | undefined) => of && (of[step.kind] = (of[step.kind] ?? 0) + 1);
  try {
    await play(world, step);
    count(report?.steps);
  } catch (error) {
    if (!(error instanceof Error) || !["CallFailed", "NotMade"].includes(error.name)) throw error;
    count(report?.refused);
    if (report) report.reasons[step.kind] = world.inNames(error.message);
  }
}

/** What is looked for is the first difference: others may have other reasons, and shorter histories. */
async function cutDown(servers: Servers, seed: number, { played, found }: Played, { shrinkMinutes, say }: TruthOptions): Promise<Finding> {
  const wanted = found[0] && signature(found[0]);
  const steps = played.filter((step) => step !== CHECK);
  let words = oneOfEach(found);
  const still = async (shorter: readonly Step[]): Promise<boolean> => {
    const again = await playHistory(servers, [...shorter, CHECK]);
    const isSo = again.found.some((one) => signature(one) === wanted);
    say(`  of ${steps.length} steps, ${shorter.length} ${isSo ? "do as well" : "do not"}`);
    if (isSo) words = oneOfEach(again.found);
    return isSo;
  };
  const small = shrinkMinutes > 0 ? await shrink(steps, still, performance.now() + shrinkMinutes * 60_000) : steps;
  return { seed, words, steps: small.length < steps.length ? [...small, CHECK] : played };
}

/** Of each kind of difference the first, in words. */
function oneOfEach(found: readonly Found[]): string[] {
  return [...Map.groupBy(found, signature).values()].map((all) => `${all[0]?.words} (${all.length} times)`);
}

/** What kind of difference it is, wherever it is. */
function signature({ path }: Found): string {
  return path.map((part) => (/^([re]\d+|[!$@].*)$/.test(part) ? "*" : part)).join("/");
}
