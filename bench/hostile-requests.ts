/** Twelve requests that a hostile client may send to make one process work for long or remember much (N10). */

import { V3 } from "./measure.ts";
import { PATH as UNSTABLE } from "./sliding.ts";

const V4 = "/_matrix/client/v4/sync";

/** The account that asks. */
export type HostileAccount = { readonly rooms: readonly string[]; readonly spaces: readonly string[] };

export type HostileRequest = {
  readonly name: string;
  readonly path: string;
  /** Of the n-th request of a client; `from`: pos or next of its last answer, null: it has none. */
  readonly body: (n: number, from: string | null) => object;
  /** Goes on from its last answer, so that what it is remembered by grows. */
  readonly goesOn: boolean;
};

type Size = { readonly over: number; readonly at: number };
type Kind = keyof Size;

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
const named = <T>(count: number, make: (index: number) => T): Record<string, T> => Object.fromEntries(times(count, (n) => [`l${n}`, make(n)]));
const short = (index: number) => index.toString(36);

/** @param kind over: as large as a body of 1 MiB can be; at: the most that is accepted */
export function hostileRequests({ rooms, spaces }: HostileAccount, kind: Kind): HostileRequest[] {
  const size = (of: Size) => of[kind];
  const all = [[0, 999]];
  const list = { ranges: all, timeline_limit: 1, required_state: [] };
  const v4List = { range: [0, 999], timeline_limit: 1, required_state: {} };
  const unstable = (name: string, body: (n: number) => object, goesOn = false): HostileRequest => {
    const whole = (n: number, pos: string | null) => ({ conn_id: "hostile", ...(pos !== null && { pos }), ...body(n) });
    return { name, path: UNSTABLE, body: whole, goesOn };
  };
  const v4 = (name: string, body: () => object): HostileRequest => ({
    name,
    path: V4,
    body: () => ({ conn_id: "hostile", ...body() }),
    goesOn: false,
  });
  const v3 = (name: string, body: (n: number) => object, goesOn = false): HostileRequest => ({ name, path: V3, body, goesOn });
  const pairs = (prefix: string, count: number) => times(count, (index) => [`${prefix}${short(index)}`, ""]);

  return [
    v4("include × exclude", () => {
      const count = size({ over: 12_000, at: 21 });
      const required_state = { include: times(count, (i) => ({ type: short(i) })), exclude: times(count, (i) => ({ state_key: short(i) })) };
      return { lists: { a: { ...v4List, required_state } } };
    }),
    unstable("100 lists × required_state", () => ({
      lists: named(100, (n) => ({ ...list, required_state: pairs(`${n}.`, size({ over: 500, at: 20 })) })),
    })),
    unstable("not_tags", () => ({
      lists: named(size({ over: 1, at: 100 }), () => ({ ...list, filters: { not_tags: times(size({ over: 120_000, at: 100 }), short) } })),
    })),
    unstable("100 lists × ranges", () => ({
      lists: named(100, () => ({ ...list, ranges: times(size({ over: 100, at: 2 }), () => [0, 999]) })),
    })),
    unstable(
      "ever new required_state",
      (n) => ({ lists: { a: { ...list, required_state: pairs(`${n}.`, size({ over: 50_000, at: 500 })) } } }),
      true,
    ),
    v3(
      "v3: ever new state_events",
      (n) => ({ room_list: { p: { limit: 100 }, state_events: pairs(`${n}.`, size({ over: 50_000, at: 500 })) } }),
      true,
    ),
    unstable("subscriptions with a config each", (n) => ({
      room_subscriptions: Object.fromEntries(
        rooms
          .slice(0, size({ over: 1000, at: 200 }))
          .map((roomId, index) => [roomId, { timeline_limit: 1, required_state: pairs(`${n}.${index}.`, size({ over: 40, at: 10 })) }]),
      ),
    })),
    unstable("100 lists × room_name_like", () => ({
      lists: named(100, (n) => ({ ...list, filters: { room_name_like: "R".repeat(size({ over: 10_000, at: 497 })) + short(n) } })),
    })),
    unstable("subscriptions", () => ({
      room_subscriptions: Object.fromEntries(
        [...rooms, ...times(size({ over: 13_000, at: 9000 }), (i) => `!none${i}:bench`)].map((roomId) => [roomId, { timeline_limit: 100 }]),
      ),
    })),
    unstable("100 lists × spaces", () => ({
      lists: named(100, () => ({ ...list, filters: { spaces: [...spaces, ...times(size({ over: 500, at: 80 }), (i) => `!s${i}:b`)] } })),
    })),
    v3("v3: filters of a sorted list", (n) => ({
      room_list: {
        p: { limit: 100, sort: "by_name" },
        filters: { not_tags: times(size({ over: 100_000, at: 100 }), (i) => `${n}.${short(i)}`) },
      },
    })),
    v3("v3: room of every room, with members", () => ({
      room_list: { p: { limit: 100 }, spaces },
      room: { room_id: "room_list", state: times(size({ over: 20_000, at: 500 }), (i) => ["m.room.member", `@puppet${i}:bench`]) },
    })),
  ];
}
