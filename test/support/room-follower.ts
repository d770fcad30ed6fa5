/** Which rooms, messages and to-device messages a client of each API knows, beside those of a v2 sync from scratch. */

import type { Json } from "./events.ts";
import { DIALECTS, SlidingClient } from "./sliding.ts";
import type { TestUser } from "./synapse-api.ts";
import type { V3Client } from "./v3.ts";
import { View } from "./view.ts";

export const APIS = ["v3", ...DIALECTS] as const;
export type Api = (typeof APIS)[number];

/** By room id, for rooms of these memberships alone. */
export type Memberships = Readonly<Record<string, "join" | "invite" | "knock">>;

/** The memberships that a v2 sync without `since` shows. */
export async function freshV2Memberships(user: TestUser): Promise<Memberships> {
  const { rooms } = await user.call<{ rooms?: Record<string, Json> }>("GET", "/sync?timeout=0");
  const of = (kind: "join" | "invite" | "knock") => Object.keys(rooms?.[kind] ?? {}).map((room) => [room, kind] as const);
  return Object.fromEntries([...of("join"), ...of("invite"), ...of("knock")]);
}

/** One client, from its first request on. It acknowledges the to-device messages that it gets. */
export abstract class RoomFollower {
  /** Ids of all timeline events that it was sent, in the order of arrival. */
  readonly events: string[] = [];
  /** `content.n` of all to-device messages that it was sent. */
  readonly toDevice: number[] = [];

  /** One request; it waits up to `timeout`, ms, for news. */
  abstract step(timeout?: number): Promise<void>;
  abstract memberships(): Memberships;

  /** Long polls until it has this event and this to-device message. The test's timeout bounds them. */
  async reach(eventId: string, n: number): Promise<void> {
    const hasBoth = () => this.events.includes(eventId) && this.toDevice.includes(n);
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    while (!hasBoth()) await this.step(10_000);
  }

  protected received(timeline: readonly { readonly event_id: string }[] | undefined): void {
    this.events.push(...(timeline ?? []).map(({ event_id }) => event_id));
  }

  protected receivedToDevice(messages: readonly { readonly content: { readonly n: number } }[] | undefined): void {
    this.toDevice.push(...(messages ?? []).map(({ content }) => content.n));
  }
}

/** `connId`: names a connection of sliding sync, one for each dialect; sessions of sync v3 have none. */
export function followRooms(client: V3Client, api: Api, connId: string): RoomFollower {
  return api === "v3" ? new V3Follower(client) : new SlidingFollower(new SlidingClient(client, api), `${connId} ${api}`);
}

class V3Follower extends RoomFollower {
  readonly #client: V3Client;
  readonly #view: View;
  #since: string | undefined;

  constructor(client: V3Client) {
    super();
    this.#client = client;
    this.#view = new View(client.userId);
  }

  async step(timeout = 0): Promise<void> {
    const body = this.#since === undefined ? { room_list: { p: { limit: 100 }, timeline_limit: 20 }, invites: {}, to_device: {} } : {};
    const answer = await this.#client.sync(body, { since: this.#since, timeout });
    this.#since = answer.next;
    this.#view.applyV3(answer);
    for (const room of answer["room_list"]?.rooms ?? []) this.received(room.timeline);
    this.receivedToDevice(answer["to_device"]?.events);
  }

  memberships(): Memberships {
    const { listed, pending } = this.#view;
    const invitations = [...pending].map(([room, part]) => [room, part["knock_state"] ? "knock" : "invite"] as const);
    return Object.fromEntries([...[...listed.keys()].map((room) => [room, "join"] as const), ...invitations]);
  }
}

class SlidingFollower extends RoomFollower {
  readonly #client: SlidingClient;
  readonly #connId: string;
  readonly #view: View;
  #pos: string | undefined;
  #received: string | undefined;

  constructor(client: SlidingClient, connId: string) {
    super();
    this.#client = client;
    this.#connId = connId;
    this.#view = new View(client.client.userId);
  }

  async step(timeout = 0): Promise<void> {
    const lists = { all: { ranges: [[0, 99]], state: [["m.room.member", "$ME"]], limit: 20 } } as const;
    const toDevice = { enabled: true, ...(this.#received !== undefined && { since: this.#received }) };
    const ask = { connId: this.#connId, lists, ext: { to_device: toDevice } };
    const answer = await this.#client.sync(ask, { pos: this.#pos, timeout });
    this.#pos = answer.pos;
    this.#received = answer.extensions["to_device"]?.next_batch ?? this.#received;
    this.#view.applySliding(answer);
    for (const room of Object.values(answer.rooms)) this.received(room["timeline"]);
    this.receivedToDevice(answer.extensions["to_device"]?.events);
  }

  memberships(): Memberships {
    const rooms = [...this.#view.rooms].flatMap(([room, { membership }]) =>
      membership === "join" || membership === "invite" || membership === "knock" ? [[room, membership] as const] : [],
    );
    return Object.fromEntries(rooms);
  }
}
