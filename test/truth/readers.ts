/** Clients of our server: those that follow a device through each face, and those that ask once, from scratch. */

import { Connection, type Told, V3Session } from "../../packages/client/src/index.ts";
import { checkAnswer, checkStrict } from "../support/answer-check.ts";
import { type DialectName, SlidingClient } from "../support/sliding.ts";
import type { TestUser } from "../support/synapse-api.ts";
import { V3Client } from "../support/v3.ts";
import { type Loose, View } from "../support/view.ts";

export type FaceName = "v3" | DialectName;
export const FACES: readonly FaceName[] = ["v3", "unstable", "v4"];

const EXTENSIONS = { e2ee: { enabled: true }, account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } };
const LIMIT = 20;
const V3 = {
  room_list: { p: { limit: 100 }, timeline_limit: 1, lazy_load_members: false },
  room: {
    room_id: "room_list",
    timeline_limit: LIMIT,
    state: [
      ["*", "*"],
      ["m.room.member", "*"],
    ],
  },
  invites: {},
  account_data: { global: true, rooms: "*" },
  receipts: { room_id: "room_list" },
  typing: { room_id: "room_list" },
  e2ee: {},
} satisfies Loose;
const STATE = [
  ["*", "*"],
  ["m.room.member", "*"],
] as const;
const UNSTABLE = { lists: { all: { ranges: [[0, 999]], timeline_limit: LIMIT, required_state: STATE } }, extensions: EXTENSIONS };
const V4 = {
  lists: { all: { range: [0, 999], timeline_limit: LIMIT, required_state: { include: [{}] } } },
  extensions: EXTENSIONS,
};

/** What a device is shown through a face, asked from scratch. The device's to-device messages stay where they are. */
export async function fresh(url: string, user: TestUser, face: FaceName): Promise<View> {
  const client = new V3Client(() => url, user.userId, user.deviceId, user.accessToken);
  const view = new View(user.userId);
  if (face !== "v3") return view.applySliding(await slidingOnce(client, face));
  return view.applyV3(await client.sync(V3));
}

/** The same of the homeserver's own sliding sync. */
export async function homeservers(user: TestUser): Promise<View> {
  const client = new V3Client(() => user.url, user.userId, user.deviceId, user.accessToken);
  client.checksAnswers = false;
  return new View(user.userId).applySliding(await slidingOnce(client, "unstable"));
}

function slidingOnce(client: V3Client, dialect: DialectName) {
  const lists = { all: { ranges: [[0, 999]] as const, state: STATE, limit: LIMIT } };
  return new SlidingClient(client, dialect).sync({ connId: "from scratch", lists, ext: EXTENSIONS });
}

/** A client that has been following since its device came to be. */
export class Live {
  readonly face: FaceName;
  readonly user: TestUser;
  view: View;
  /** What was sent to the device, by number. v4 has none: all connections of a device are one reader of them. */
  toDevice: number[] = [];
  /** The same of all its connections. */
  readonly heard = new Set<number>();
  /** Of whose devices something was said since this was last emptied: that they have changed, or that they matter no more. */
  readonly changed = new Set<string>();
  /** It has begun anew since then, and takes all device lists for outdated. */
  isOutdated = false;
  /** How often it began. */
  beginnings = 0;
  /** A message was sent to the device before its first answer: another reader may have acknowledged that one (R9). */
  beganLate = false;
  /** Answers that are not as they should be, and refusals. */
  readonly faults: string[] = [];
  readonly #end = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(face: FaceName, user: TestUser) {
    this.face = face;
    this.user = user;
    this.view = new View(user.userId);
  }

  start(url: string): this {
    this.#done = this.#follow(url).catch((error: unknown) => {
      if (!this.#end.signal.aborted) this.faults.push(`ended with ${String(error)}`);
    });
    return this;
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #follow(url: string): Promise<void> {
    const { accessToken } = this.user;
    const options = { baseUrl: url, accessToken, fetch: this.#fetch.bind(this) as typeof fetch };
    const follow = { signal: this.#end.signal, timeout: 20_000 };
    if (this.face === "v3") {
      const session = await V3Session.open(options);
      session.ask({ ...V3, to_device: {} } as Loose);
      for await (const told of session.answers(follow)) this.#take(told);
    } else if (this.face === "unstable") {
      const asked = { conn_id: "live", ...UNSTABLE, extensions: { ...EXTENSIONS, to_device: { enabled: true } } };
      const connection = await Connection.simplified(options, asked as Loose);
      for await (const told of connection.answers(follow)) this.#take(told);
    } else {
      const connection = await Connection.v4(options, { conn_id: "live-v4", ...V4 } as Loose);
      for await (const told of connection.answers(follow)) this.#take(told);
    }
  }

  #take({ answer, first }: Told<unknown>): void {
    if (first) {
      this.beginnings += 1;
      this.isOutdated = true;
      this.view = new View(this.user.userId);
      this.toDevice = [];
    }
    const body = answer as Loose;
    const extensions = this.face === "v3" ? body : body["extensions"];
    for (const { content } of extensions?.to_device?.events ?? []) {
      const { n } = content as Loose;
      this.toDevice.push(n);
      this.heard.add(n);
    }
    const { changed = [], left = [] } = extensions?.e2ee?.device_lists ?? {};
    for (const user of [...left, ...changed]) this.changed.add(user);
    if (this.face === "v3") this.view.applyV3(body);
    else this.view.applySliding(slidingAnswer(this.user, this.face, body));
  }

  async #fetch(input: string, init?: RequestInit): Promise<Response> {
    const response = await fetch(input, init);
    const text = await response.text();
    const path = new URL(input).pathname;
    try {
      if (response.ok) checkStrict(path, text);
      if (response.ok) checkAnswer(path, JSON.parse(text));
      else if (response.status >= 500 && response.status !== 503) throw new Error(`${response.status} ${text.slice(0, 200)}`);
    } catch (error) {
      this.faults.push(String(error).slice(0, 500));
    }
    return new Response(text, { status: response.status, headers: response.headers });
  }
}

function slidingAnswer(user: TestUser, face: DialectName, body: Loose) {
  const client = new SlidingClient(new V3Client(() => "", user.userId, user.deviceId, ""), face);
  return client.read({ status: 200, body: body as never, text: "", headers: new Headers() });
}
