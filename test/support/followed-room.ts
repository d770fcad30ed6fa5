/** One room as a client of sliding sync follows it, by a list of all rooms: for tests of what is told of rooms. */

import { ev, type Json, newRoom, type RoomParts, v2, type V2Parts } from "./fake-homeserver.ts";
import { type Answer, type Ask, type AskedConfig, type AskOptions, type DialectName, type RoomAnswer, SlidingClient } from "./sliding.ts";
import type { V3Fixture } from "./v3.ts";

/** Who made the rooms. */
export const ALICE = "@alice:test";
export const BOB = "@bob:test";
export const CAROL = "@carol:test";

let count = 0;

/** A user that nobody has seen, and a room id. */
export function newNames(): { readonly me: string; readonly id: string } {
  count += 1;
  return { me: `@me${count}:test`, id: `!room${count}:test` };
}

/** A request for all rooms with one config. */
export function all(config: AskedConfig = {}): Ask {
  return { lists: { all: { ranges: [[0, 19]], ...config } } };
}

export type FollowOptions = {
  readonly config?: AskedConfig;
  /** State that is neither that of a new room nor the user's own membership. */
  readonly state?: readonly Json[];
  /** What else the room's first section holds. */
  readonly parts?: Omit<RoomParts, "state">;
  /** What else the first v2 answer holds. */
  readonly more?: Omit<V2Parts, "join">;
  readonly names?: { readonly me: string; readonly id: string };
};

export class FollowedRoom {
  readonly id: string;
  readonly me: string;
  readonly client: SlidingClient;
  /** The newest answer. */
  answer: Answer = { pos: "", lists: {}, rooms: {}, extensions: {} };
  /** What was told of the room first. */
  first: RoomAnswer = {};
  readonly #t: V3Fixture;
  readonly #config: AskedConfig;

  constructor(t: V3Fixture, client: SlidingClient, id: string, config: AskedConfig) {
    this.#t = t;
    this.client = client;
    this.me = client.client.userId;
    this.id = id;
    this.#config = config;
  }

  /** Gives sections of the joined room, one v2 answer each, and waits until they are stored. */
  deliver(...sections: RoomParts[]): Promise<void> {
    return this.give(...sections.map((section) => ({ join: { [this.id]: section } })));
  }

  /** Gives a section of the room that the user is not in any more. */
  leave(section: RoomParts = {}): Promise<void> {
    return this.give({ leave: { [this.id]: section } });
  }

  /** Gives v2 answers. */
  give(...answers: V2Parts[]): Promise<void> {
    return this.#t.deliver(this.client.client, ...answers.map((answer) => v2(answer)));
  }

  /** The next answer's room, with the config of the beginning or another one. */
  next(config: AskedConfig = this.#config, options: AskOptions = {}): Promise<RoomAnswer | undefined> {
    return this.ask(all(config), options);
  }

  /** The same with any request: the room, undefined where it is not in the answer. */
  async ask(request: Ask, options: AskOptions = {}): Promise<RoomAnswer | undefined> {
    this.answer = await this.client.sync(request, { pos: this.answer.pos, ...options });
    return this.answer.rooms[this.id];
  }

  /** What a connection of its own is told of the room first. */
  async anew(config: AskedConfig = this.#config): Promise<RoomAnswer | undefined> {
    return (await this.client.sync({ ...all(config), connId: "another" })).rooms[this.id];
  }

  /** Begins: the connection's first answer. */
  async begin(): Promise<this> {
    this.answer = await this.client.sync(all(this.#config));
    this.first = this.answer.rooms[this.id] ?? {};
    return this;
  }
}

/** A new user in a room of Alice's, who has had the first answer. */
export function follow(t: V3Fixture, dialect: DialectName, options: FollowOptions = {}): Promise<FollowedRoom> {
  const { config = {}, state = [], parts = {}, more = {}, names = newNames() } = options;
  const { me, id } = names;
  const section = { state: [...newRoom(ALICE), ev.member(me), ...state], ...parts };
  const client = t.login(me, "PHONE", v2({ join: { [id]: section }, ...more }));
  return new FollowedRoom(t, new SlidingClient(client, dialect), id, config).begin();
}

/** A new user without rooms, who has had the first answer; `id` is a room that is still to come. */
export function followNothing(t: V3Fixture, dialect: DialectName, config: AskedConfig = {}, more: V2Parts = {}): Promise<FollowedRoom> {
  const { me, id } = newNames();
  const client = t.login(me, "PHONE", v2(more));
  return new FollowedRoom(t, new SlidingClient(client, dialect), id, config).begin();
}

/** Messages of Alice's. */
export function messages(howMany: number, sender = ALICE) {
  return Array.from({ length: howMany }, (_, n) => ev.message(sender, `m${n}`));
}

/** What is told of a state event, by `type|key`; undefined: nothing. */
export function stateEvent(room: RoomAnswer | undefined, type: string, key = ""): RoomAnswer | undefined {
  return ((room?.["required_state"] ?? []) as RoomAnswer[]).find((event) => event["type"] === type && event["state_key"] === key);
}

/** `user: membership` of the members in required_state, sorted. */
export function membersTold(room: RoomAnswer | undefined): string[] {
  const members = ((room?.["required_state"] ?? []) as RoomAnswer[]).filter((event) => event["type"] === "m.room.member");
  return members.map((event) => `${event["state_key"]}: ${event["content"]?.membership}`).toSorted();
}
