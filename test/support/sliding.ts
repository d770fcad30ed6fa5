/**
 * Clients that speak sliding sync to the server under test, in either dialect from one way of asking: what both can say is said once.
 *
 *     const phone = sliding(t, client, "v4");
 *     const first = await phone.sync({ lists: { all: { ranges: [[0, 9]], state: [["m.room.name", ""]], limit: 5 } } });
 *     const then = await phone.sync({ … }, { pos: first.pos, timeout: 10_000 });
 *
 * Answers come in one shape too: that of the unstable dialect, with what only v4 says beside it.
 */

import type { Json } from "./fake-homeserver.ts";
import type { Reply, V3Client } from "./v3.ts";

/** The extension of sticky events, in both dialects. */
export const STICKY_EVENTS = "org.matrix.msc4354.sticky_events";

export const DIALECTS = ["unstable", "v4"] as const;
export type DialectName = (typeof DIALECTS)[number];

/** `state`: tuples as the unstable dialect has them, with `*`, `$ME` and `$LAZY`. */
export type AskedConfig = { readonly state?: readonly (readonly [string, string])[]; readonly limit?: number };
/** `filters` with the unstable dialect's names. */
export type AskedList = AskedConfig & { readonly ranges?: readonly (readonly [number, number])[]; readonly filters?: Json };
export type Ask = {
  /** "test" where it is not said: without one, the unstable dialect has sticky subscriptions. null: none. */
  readonly connId?: string | null;
  readonly lists?: Readonly<Record<string, AskedList>>;
  readonly subs?: Readonly<Record<string, AskedConfig>>;
  /** By the extension's stable name. */
  readonly ext?: Json;
  /** Further members of the body, as they are. */
  readonly more?: Json;
};

// oxlint-disable-next-line typescript/no-explicit-any -- the wire format under test is what a test asserts about
export type RoomAnswer = { readonly [field: string]: any };
export type Answer = {
  readonly pos: string;
  readonly lists: Readonly<Record<string, { readonly count: number; readonly ops?: { readonly range: number[]; readonly room_ids: string[] }[] }>>;
  readonly rooms: Readonly<Record<string, RoomAnswer>>;
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  readonly extensions: Readonly<Record<string, any>>;
};

export type AskOptions = { readonly pos?: string | undefined; readonly timeout?: number; readonly signal?: AbortSignal };

const PATHS = { unstable: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", v4: "/_matrix/client/v4/sync" } as const;

export class SlidingClient {
  readonly client: V3Client;
  readonly dialect: DialectName;

  constructor(client: V3Client, dialect: DialectName) {
    this.client = client;
    this.dialect = dialect;
  }

  /** A sync that must succeed. */
  async sync(ask: Ask = {}, options: AskOptions = {}): Promise<Answer> {
    return this.read(await this.request(ask, options));
  }

  /** The answer that a reply must be. */
  read(reply: Reply): Answer {
    if (reply.status !== 200) throw new Error(`sync answered ${reply.status}: ${reply.text}`);
    return this.dialect === "v4" ? asUnstable(reply.body) : (reply.body as unknown as Answer);
  }

  /** A sync, whatever comes, as it comes. */
  request(ask: Ask = {}, options: AskOptions = {}): Promise<Reply> {
    return this.post(bodyOf(this.dialect, this.client.userId, ask), options);
  }

  /** A body as it is; a string is sent as it is. */
  post(body: Json | string, { pos, timeout, signal }: AskOptions = {}): Promise<Reply> {
    const place = { ...(pos !== undefined && { pos }), ...(timeout !== undefined && { timeout }) };
    if (this.dialect === "v4") {
      const text = typeof body === "string" ? body : JSON.stringify({ ...body, ...place });
      return this.client.fetch("POST", PATHS.v4, text, {}, signal);
    }
    const query = new URLSearchParams(Object.entries(place).map(([key, value]): [string, string] => [key, String(value)]));
    return this.client.fetch("POST", `${PATHS.unstable}?${query.toString()}`, typeof body === "string" ? body : JSON.stringify(body), {}, signal);
  }
}

/** The body of a request. */
function bodyOf(dialect: DialectName, me: string, { connId = "test", lists, subs, ext, more }: Ask): Json {
  const config = ({ state = [], limit = 10 }: AskedConfig) => ({
    timeline_limit: limit,
    required_state: dialect === "v4" ? requiredState(state, me) : state,
  });
  const list = (asked: AskedList) => ({
    ...config(asked),
    ...(asked.ranges && (dialect === "v4" ? { range: asked.ranges[0] } : { ranges: asked.ranges })),
    ...(asked.filters && { filters: dialect === "v4" ? v4Filters(asked.filters) : asked.filters }),
  });
  const mapped = <In, Out>(of: Readonly<Record<string, In>>, to: (value: In) => Out) =>
    Object.fromEntries(Object.entries(of).map(([key, value]) => [key, to(value)]));
  return {
    ...(connId !== null && { conn_id: connId }),
    ...(lists && { lists: mapped(lists, list) }),
    ...(subs && { room_subscriptions: mapped(subs, config) }),
    ...(ext && { extensions: ext }),
    ...more,
  };
}

function requiredState(tuples: readonly (readonly [string, string])[], me: string): Json {
  const isLazy = ([type, key]: readonly [string, string]) => type === "m.room.member" && key === "$LAZY";
  const include = tuples
    .filter((tuple) => !isLazy(tuple))
    .map(([type, key]) => ({ ...(type !== "*" && { type }), ...(key !== "*" && { state_key: key === "$ME" ? me : key }) }));
  return { include, ...(tuples.some(isLazy) && { lazy_members: true }) };
}

function v4Filters({ is_invite, ...rest }: Json): Json {
  return { ...rest, ...(is_invite !== undefined && { is_invited: is_invite }) };
}

/** An answer of v4 with the names of the unstable dialect. */
function asUnstable(body: Reply["body"]): Answer {
  const rooms = Object.entries((body["rooms"] ?? {}) as Record<string, RoomAnswer>).map(([roomId, room]) => {
    const { stripped_state, expanded_timeline, ...rest } = room;
    return [
      roomId,
      {
        ...rest,
        ...(stripped_state !== undefined && { invite_state: stripped_state }),
        ...(expanded_timeline !== undefined && { unstable_expanded_timeline: expanded_timeline }),
      },
    ];
  });
  const { receipts, typing, ...others } = (body["extensions"] ?? {}) as Record<string, { rooms: Record<string, unknown> }>;
  const wrapped = (type: string, section: { rooms: Record<string, unknown> }) => ({
    rooms: Object.fromEntries(Object.entries(section.rooms).map(([roomId, content]) => [roomId, { type, content }])),
  });
  return {
    pos: (body as unknown as Answer).pos,
    lists: (body["lists"] ?? {}) as Answer["lists"],
    rooms: Object.fromEntries(rooms) as Answer["rooms"],
    extensions: {
      ...others,
      ...(receipts && { receipts: wrapped("m.receipt", receipts) }),
      ...(typing && { typing: wrapped("m.typing", typing) }),
    },
  };
}

/** Ids of a room's timeline, oldest first. */
export function timelineIds(room: RoomAnswer | undefined): string[] {
  return ((room?.["timeline"] ?? []) as { event_id: string }[]).map((event) => event.event_id);
}

/** `type|key` of a room's required_state, sorted. */
export function stateOf(room: RoomAnswer | undefined): string[] {
  return ((room?.["required_state"] ?? []) as { type: string; state_key: string }[]).map((event) => `${event.type}|${event.state_key}`).sort();
}
