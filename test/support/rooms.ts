/** What tests of room streams need: the homeserver's room routes, and short looks at events. */

import type { FakeHomeserver, FakeRequest, Json, MatrixEvent } from "./fake-homeserver.ts";

type Source<T> = T | ((request: FakeRequest) => T);

/** The room routes of a homeserver, answered by room: `new RoomRoutes(t.hs)` once a fixture. */
export class RoomRoutes {
  readonly #members = new Map<string, Source<readonly Json[]>>();
  readonly #messages = new Map<string, Source<Json>>();
  readonly #context = new Map<string, Source<Json>>();
  readonly #hs: FakeHomeserver;

  constructor(hs: FakeHomeserver) {
    this.#hs = hs;
    const base = "/_matrix/client/v3/rooms/:room";
    hs.on("GET", `${base}/members`, (request) => this.#answer(this.#members, request, (chunk) => ({ chunk })));
    hs.on("GET", `${base}/messages`, (request) => this.#answer(this.#messages, request, (body) => body));
    hs.on("GET", `${base}/context/:event`, (request) => this.#answer(this.#context, request, (body) => body));
  }

  /** What /members says of a room from now on. */
  members(room: string, members: Source<readonly Json[]>): void {
    this.#members.set(room, members);
  }

  /** What /messages says of a room from now on. */
  messages(room: string, answer: Source<Json>): void {
    this.#messages.set(room, answer);
  }

  /** What /context says of a room's events from now on. */
  context(room: string, answer: Source<Json>): void {
    this.#context.set(room, answer);
  }

  /** The requests so far of one kind about one room. */
  asked(kind: "members" | "messages" | "context", room: string): FakeRequest[] {
    return this.#hs.seen({ path: new RegExp(`/${kind}(/|$)`) }).filter((request) => request.params["room"] === room);
  }

  #answer<T>(sources: ReadonlyMap<string, Source<T>>, request: FakeRequest, body: (value: T) => Json) {
    const source = sources.get(request.params["room"] ?? "");
    if (source === undefined) return { status: 403, body: { errcode: "M_FORBIDDEN", error: "not in the room" } };
    return { body: body(typeof source === "function" ? (source as (request: FakeRequest) => T)(request) : source) };
  }
}

/** Ids of events, in their order. */
export function ids(events: readonly { readonly event_id: string }[]): string[] {
  return events.map((event) => event.event_id);
}

/** `user: membership` of member events, in their order. */
export function memberships(events: readonly MatrixEvent[]): string[] {
  return events.map((event) => `${event.state_key}: ${String(event.content["membership"])}`);
}

/** State keys of events, in their order: the users of member events. */
export function users(events: readonly { readonly state_key?: string }[]): (string | undefined)[] {
  return events.map((event) => event.state_key);
}
