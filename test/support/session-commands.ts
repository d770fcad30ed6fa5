/** What a test does to sessions, on the server and its model side by side: the commands of session-model.pg.test.ts. */

import { deepStrictEqual } from "node:assert/strict";
import { ev, type Json, toDevice, typing, v2 } from "./fake-homeserver.ts";
import { hang, membersOf, type Scene, scene, typingOf } from "./scene.ts";
import { type Batch, type Body, type Expected, type Place, type Rest, SessionModel, type Told } from "./session-model.ts";
import type { Answer, V3Fixture } from "./v3.ts";

const UNKNOWN_SESSION = '{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}';
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";
/** Picks of a token are numbers below this. */
export const PICKS = 1000;
/** Who is in the room at first, beside the scene's user. */
export const OTHERS = ["@a:test", "@b:test"];
/** Stands for the room in bodies: commands are made before it is. */
export const ROOM = "(the room)";

type Page = { readonly since: string; readonly from: string; readonly rest: Rest };

/** The server as a run of commands sees it, beside the model. */
export class Real {
  readonly t: V3Fixture;
  readonly scene: Scene;
  readonly model: SessionModel;
  /** Every token that was ever given, with what it stands for. */
  readonly tokens = new Map<string, Place>();
  readonly pages: Page[] = [];
  /** Ids of the sessions, as the session list has them. */
  readonly ids: string[] = [];

  constructor(t: V3Fixture) {
    this.t = t;
    this.scene = scene(t, { others: OTHERS });
    this.model = new SessionModel(this.scene.room, this.scene.me, OTHERS);
  }

  /** Makes the account and its room's members known, before the model begins. */
  async begin(): Promise<void> {
    const { client, room } = this.scene;
    await client.sync({ room_members: { room_id: room } });
    const [own] = (await client.fetch("GET", SESSIONS)).body["sessions"] as { id: string }[];
    this.ids.push(own?.id ?? "");
    await this.t.hs.waitForPoll(client.token);
  }

  /** Half of the picks are among the newest eighth. */
  token(pick: number): [string, Place] | undefined {
    const all = [...this.tokens];
    return all[all.length - 1 - Math.floor((pick / PICKS) ** 3 * all.length)];
  }

  /** Makes the v2 response of a batch, and has the model know it. */
  response(batch: Batch): Json {
    const { model } = this;
    const messages = Array.from({ length: batch.messages }, (_, index) => toDevice("@x:test", { n: model.messageCount + index + 1 }));
    const response = v2({
      join: {
        [this.scene.room]: {
          timeline: [ev.message("@x:test"), ...batch.members.map((user) => ev.member(user, model.nextMembership(user)))],
          ...(batch.typing && { ephemeral: [typing(...batch.typing)] }),
        },
      },
      to_device: messages,
      account_data: batch.accountData.map((type) => ({ type, content: { text: model.nextText(type) } })),
    });
    model.deliver(batch);
    return response;
  }

  /** Compares an answer with what the model says, and takes its token. */
  check(answer: Answer, since: string | null, expected: Expected): void {
    deepStrictEqual(toldBy(answer), expected.told);
    const known = this.tokens.get(answer.next);
    // I1, I2: a token stands for one thing.
    if (known) deepStrictEqual(expected.next, known);
    this.tokens.set(answer.next, expected.next);
    if (expected.rest) this.pages.push({ since: answer.next, from: answer["room_members"].p.next, rest: expected.rest });
    if (since !== null && answer.next === since) deepStrictEqual(expected.next, this.tokens.get(since));
  }
}

function toldBy(answer: Answer): Told {
  const { next: _next, ...streams } = answer;
  const told: Record<string, unknown> = {};
  if (streams["typing"]) told["typing"] = typingOf(answer);
  if (streams["to_device"]) {
    const { limit, events } = streams["to_device"];
    told["to_device"] = { limit, messages: events.map((event: { content: { n: number } }) => event.content.n) };
  }
  if (streams["room_members"]) {
    const { p } = streams["room_members"];
    told["room_members"] = { users: membersOf(answer), limit: p.limit, sort: p.sort, more: p.next !== undefined };
  }
  if (streams["account_data"]) {
    told["account_data"] = (streams["account_data"].global ?? []).map((event: { content: { text: string } }) => event.content.text).sort();
  }
  deepStrictEqual(Object.keys(told).sort(), Object.keys(streams).sort());
  return told;
}

/** One step of a test. */
export interface Command {
  run(model: SessionModel, real: Real): Promise<void>;
}

export class Nothing implements Command {
  async run(): Promise<void> {}
}

export class Deliver implements Command {
  readonly batch: Batch;
  constructor(batch: Batch) {
    this.batch = batch;
  }
  async run(_model: SessionModel, real: Real): Promise<void> {
    await real.t.deliver(real.scene.client, real.response(this.batch));
  }
}

export class Start implements Command {
  readonly body: Body;
  constructor(body: Body) {
    this.body = body;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const answer = await real.scene.client.sync(inRoom(this.body, model.room));
    real.check(answer, null, model.sync(model.start(), inRoom(this.body, model.room)));
    const list = (await real.scene.client.fetch("GET", SESSIONS)).body["sessions"] as { id: string }[];
    real.ids.push(list.map(({ id }) => id).find((id) => !real.ids.includes(id) && id !== real.ids[0]) ?? "");
  }
}

/** With any token ever given, old or new (D10). */
export class Sync implements Command {
  readonly pick: number;
  readonly body: Body;
  constructor(pick: number, body: Body) {
    this.pick = pick;
    this.body = body;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const [since, place] = real.token(this.pick) ?? [];
    if (since === undefined || !place) return;
    const body = inRoom(this.body, model.room);
    const reply = await real.scene.client.request(body, { since });
    if (!model.isAlive(place)) return deepStrictEqual([reply.status, reply.text], [400, UNKNOWN_SESSION]);
    deepStrictEqual(reply.status, 200, reply.text);
    real.check(reply.body, since, model.sync(place, body));
  }
}

/** R18, I5: all further pages of a snapshot. */
export class Pages implements Command {
  readonly pick: number;
  readonly limit: number;
  constructor(pick: number, limit: number) {
    this.pick = pick;
    this.limit = limit;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const page = real.pages[this.pick % real.pages.length];
    const place = page && real.tokens.get(page.since);
    if (!page || !place) return;
    const found: string[] = [];
    for (let from: string | undefined = page.from; from !== undefined;) {
      const reply = await real.scene.client.request({ room_members: { p: { since: from, limit: this.limit } } }, { since: page.since });
      if (!model.isAlive(place)) return deepStrictEqual([reply.status, reply.text], [400, UNKNOWN_SESSION]);
      deepStrictEqual([reply.status, reply.body.next], [200, page.since]);
      const users = membersOf(reply.body) ?? [];
      deepStrictEqual(users.length, Math.min(this.limit, page.rest.members.length - found.length));
      found.push(...users);
      from = reply.body["room_members"].p.next;
    }
    deepStrictEqual(found, page.rest.members);
  }
}

/** I9: a caught-up request waits through what does not concern it, and is answered with what does. */
export class Wait implements Command {
  readonly pick: number;
  constructor(pick: number) {
    this.pick = pick;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const [since, place] = real.token(this.pick) ?? [];
    if (since === undefined || !place || !model.isAlive(place)) return;
    const relevant = relevantTo(place);
    if (!relevant || Object.keys(model.answer(place).told).length > 0) return;
    const caughtUp = model.sync(place, {});
    const { answer } = await hang(real.scene.client, {}, { since, timeout: 60_000 });
    await real.t.deliver(real.scene.client, real.response({ messages: 0, members: [], accountData: [] }));
    await real.t.deliver(real.scene.client, real.response(relevant(model)));
    real.check(await answer, since, model.answer(caughtUp.next));
  }
}

/** A batch that is news to whoever follows those streams. */
function relevantTo(place: Place): ((model: SessionModel) => Batch) | null {
  const nothing: Batch = { messages: 0, members: [], accountData: [] };
  if (place.params.account_data) return () => ({ ...nothing, accountData: ["t1"] });
  if (place.params.to_device) return () => ({ ...nothing, messages: 1 });
  if (place.params.room_members?.room_id !== undefined) return () => ({ ...nothing, members: ["@x:test"] });
  return null;
}

export class Restart implements Command {
  async run(_model: SessionModel, real: Real): Promise<void> {
    await real.t.restart();
    await real.t.hs.waitForPoll(real.scene.client.token);
  }
}

export class End implements Command {
  readonly pick: number;
  readonly how: "delete" | "expire";
  constructor(pick: number, how: "delete" | "expire") {
    this.pick = pick;
    this.how = how;
  }
  async run(model: SessionModel, real: Real): Promise<void> {
    const alive = model.sessions.map((_, index) => index).filter((index) => model.sessions[index]?.alive);
    const session = alive[this.pick % alive.length];
    if (session === undefined) return;
    const id = real.ids[session + 1] ?? "";
    if (this.how === "expire") {
      await real.t.sql`update sessions set used_at = now() - interval '8 days' where session = ${id}`;
      const token = [...real.tokens].find(([, place]) => place.session === session)?.[0];
      if (token !== undefined) deepStrictEqual((await real.scene.client.request({}, { since: token })).text, UNKNOWN_SESSION);
    }
    // What an expired one held goes when it is cleared away: here at once.
    deepStrictEqual((await real.scene.client.fetch("DELETE", `${SESSIONS}/${id}`)).status, 200);
    model.end(session);
  }
}

function inRoom(body: Body, room: string): Body & Json {
  return JSON.parse(JSON.stringify(body).replaceAll(JSON.stringify(ROOM), JSON.stringify(room))) as Body & Json;
}
