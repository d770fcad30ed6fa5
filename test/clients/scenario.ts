/** What a user does first with a new client, done with real clients through our server, in front of any homeserver. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { DbOptions } from "../../src/store/db.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { HomeserverUsers, passwordOf, type TestUser } from "../support/synapse-api.ts";
import type { ClientKind, DeviceLogin, DrivenClient, LaunchClient } from "./driven-client.ts";

export type ScenarioOptions = {
  /** Base URL. Users can be registered there without further ado. */
  readonly homeserver: string;
  readonly kinds: readonly ClientKind[];
  /** An empty database with our schema. */
  readonly db: DbOptions;
  readonly say: (line: string) => void;
};

/** `failure`: why it failed; null: it did not. */
export type StepResult = { readonly step: string; readonly ms: number; readonly failure: string | null };
/** `lack`: why the client could not be run; then there are no steps. */
export type KindResult = { readonly kind: string; readonly lack: string | null; readonly steps: readonly StepResult[] };
/** `unrecognized`: requests of clients that nobody knew, with `*` for ids. */
export type ScenarioResult = { readonly kinds: readonly KindResult[]; readonly unrecognized: readonly string[] };

const MESSAGES = 60;
const numbered = Array.from({ length: MESSAGES }, (_, index) => `message ${index + 1}`);

type LoginOf = (user: TestUser) => DeviceLogin;

/** One kind of clients on the stage: two users, and a client of each. */
class Stage {
  readonly #launch: LaunchClient;
  readonly #loginOf: LoginOf;
  readonly #clients = new Map<TestUser, DrivenClient>();
  readonly alice: TestUser;
  readonly bob: TestUser;
  readonly front: Front;
  /** A room with both in it and a history; the room in which they talk encrypted. */
  hall = "";
  dm = "";

  constructor(launch: LaunchClient, loginOf: LoginOf, [alice, bob]: readonly [TestUser, TestUser], front: Front) {
    this.#launch = launch;
    this.#loginOf = loginOf;
    [this.alice, this.bob, this.front] = [alice, bob, front];
  }

  /** The user's client; it is started if it does not run. */
  async client(user: TestUser, again = false): Promise<DrivenClient> {
    const running = this.#clients.get(user);
    if (running) return running;
    const client = await this.#launch(this.#loginOf(user), again);
    this.#clients.set(user, client);
    return client;
  }

  async stop(user: TestUser): Promise<void> {
    const client = this.#clients.get(user);
    this.#clients.delete(user);
    await client?.stop();
  }

  async end(): Promise<void> {
    await Promise.all([...this.#clients.keys()].map((user) => this.stop(user)));
  }
}

/** In this order; each may use what those before it have made. */
const STEPS: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  "logs in and lists a room": async (stage) => {
    const client = await stage.client(stage.alice);
    await client.listed(stage.hall, "Hall");
  },
  "opens it, and pages back to its start": async (stage) => {
    const client = await stage.client(stage.alice);
    await client.open(stage.hall);
    await client.shows(stage.hall, numbered.at(-1) ?? "");
    const texts = await client.toStart(stage.hall);
    if (!isDeepStrictEqual(texts, numbered)) throw new Error(`it shows ${JSON.stringify(texts)} in place of ${JSON.stringify(numbered)}`);
  },
  "sends and receives": async (stage) => {
    const [first, second] = [await stage.client(stage.alice), await stage.client(stage.bob)];
    await second.listed(stage.hall);
    await second.open(stage.hall);
    await second.send(stage.hall, "from the second");
    await first.shows(stage.hall, "from the second");
    await first.send(stage.hall, "from the first");
    await second.shows(stage.hall, "from the first");
  },
  "sends a read receipt, and sees it": async (stage) => {
    const [first, second] = [await stage.client(stage.alice), await stage.client(stage.bob)];
    await second.markRead(stage.hall);
    await first.readBy(stage.hall, "from the first", second.userId);
  },
  "is invited, and accepts": async (stage) => {
    const client = await stage.client(stage.alice);
    const roomId = await stage.bob.createRoom({ preset: "private_chat", name: "By invitation", invite: [stage.alice.userId] });
    await stage.bob.send(roomId, "welcome");
    await client.invited(roomId);
    await client.join(roomId);
    await client.open(roomId);
    await client.shows(roomId, "welcome");
  },
  "encrypts both ways": async (stage) => {
    const [first, second] = [await stage.client(stage.alice), await stage.client(stage.bob)];
    stage.dm = await first.createDm(second.userId);
    await second.invited(stage.dm);
    await second.join(stage.dm);
    await Promise.all([first.open(stage.dm), second.open(stage.dm)]);
    await second.send(stage.dm, "secret of the second");
    await first.shows(stage.dm, "secret of the second");
    await first.send(stage.dm, "secret of the first");
    await second.shows(stage.dm, "secret of the first");
  },
  "goes on after its own restart": async (stage) => {
    const second = await stage.client(stage.bob);
    await stage.stop(stage.alice);
    await second.send(stage.dm, "while you were away");
    const first = await stage.client(stage.alice, true);
    await first.listed(stage.dm);
    await first.open(stage.dm);
    await first.shows(stage.dm, "while you were away");
  },
  "goes on after a restart of this server": async (stage) => {
    await stage.front.restart();
    const [first, second] = [await stage.client(stage.alice), await stage.client(stage.bob)];
    await first.send(stage.dm, "after the restart");
    await second.shows(stage.dm, "after the restart");
  },
};

/** Runs the scenario with each kind that can be run here, one after the other. */
export async function runScenario({ homeserver, kinds, db, say }: ScenarioOptions): Promise<ScenarioResult> {
  /** What clients ask. They know its address alone, whatever the server's is after a restart. */
  const tap: HomeserverTap = await new HomeserverTap(() => front.url).start();
  const front = await new Front(homeserver, db, { publicUrl: tap.url }).start();
  const stores = await mkdtemp(join(tmpdir(), "syncv3-clients-"));
  const users = new HomeserverUsers({ url: homeserver, serverName: "", asToken: "" });
  const results: KindResult[] = [];
  try {
    for (const kind of kinds) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other, so that none disturbs another
      const launch = await kind.prepare(say).catch((error: unknown) => messageOf(error));
      if (typeof launch === "string") {
        results.push({ kind: kind.name, lack: launch, steps: [] });
        continue;
      }
      const loginOf = ({ userId }: TestUser): DeviceLogin => {
        const name = userId.slice(1, userId.indexOf(":"));
        // matrix-nio takes every device with its own device's id for its own, whoever's it is, and shares no key with it.
        return { url: tap.url, name, password: passwordOf(name), deviceId: `OF-${name}`, store: join(stores, name) };
      };
      const run = randomBytes(4).toString("hex");
      // oxlint-disable-next-line no-await-in-loop -- as above
      const [alice, bob] = [await users.registerUser(`${kind.name}-a-${run}`), await users.registerUser(`${kind.name}-b-${run}`)];
      const stage = new Stage(launch, loginOf, [alice, bob], front);
      // oxlint-disable-next-line no-await-in-loop -- as above
      results.push({ kind: kind.name, lack: null, steps: await play(stage, (line) => say(`${kind.name}: ${line}`)) });
    }
    return { kinds: results, unrecognized: unrecognizedIn(tap) };
  } finally {
    await front.stop();
    await tap.stop();
    await rm(stores, { recursive: true, force: true });
  }
}

async function play(stage: Stage, say: (line: string) => void): Promise<StepResult[]> {
  const results: StepResult[] = [];
  try {
    stage.hall = await stage.bob.createRoom({ preset: "public_chat", name: "Hall" });
    await stage.alice.join(stage.hall);
    // oxlint-disable-next-line no-await-in-loop -- their order is what is looked at
    for (const text of numbered) await stage.bob.send(stage.hall, text);
    for (const [step, run] of Object.entries(STEPS)) {
      const started = performance.now();
      // oxlint-disable-next-line no-await-in-loop -- each goes on where the one before ended
      const failure = await run(stage).then(() => null, messageOf);
      results.push({ step, ms: performance.now() - started, failure });
      say(`${step}: ${failure === null ? "ok" : `FAILED: ${failure}`}`);
    }
    return results;
  } finally {
    await stage.end();
  }
}

/** Requests that were answered with M_UNRECOGNIZED, each once. */
function unrecognizedIn(tap: HomeserverTap): string[] {
  const lines = tap.requests
    .filter((request) => request.isUnrecognized)
    .map(({ method, path }) => `${method} ${path.replaceAll(/(?<=\/)(?:[!@$#]|%2[134]|%40)[^/]*/gi, "*")}`);
  return [...new Set(lines)].toSorted();
}

/** Clients tell all that they show. */
const LONGEST_FAILURE = 1500;

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length <= LONGEST_FAILURE ? text : `${text.slice(0, LONGEST_FAILURE / 2)} … ${text.slice(-LONGEST_FAILURE / 2)}`;
}

/** The results as a table for people, a line a step and a column a client. */
export function resultTable({ kinds, unrecognized }: ScenarioResult): string {
  const ran = kinds.filter(({ lack }) => lack === null);
  const cell = (kind: KindResult, step: string) => {
    const result = kind.steps.find((each) => each.step === step);
    return result === undefined ? "-" : result.failure === null ? `ok ${(result.ms / 1000).toFixed(1)} s` : "FAILED";
  };
  const rows = [["", ...ran.map(({ kind }) => kind)], ...Object.keys(STEPS).map((step) => [step, ...ran.map((kind) => cell(kind, step))])];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const table = rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const left = kinds.flatMap(({ kind, lack }) => (lack === null ? [] : [`${kind} was not run: ${lack}`]));
  const asked =
    unrecognized.length === 0 ? [] : ["Requests of clients that the homeserver does not know:", ...unrecognized.map((line) => `  ${line}`)];
  return [...table, ...left, ...asked].join("\n");
}
