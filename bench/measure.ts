/** What is measured, each beside the homeserver's own API in the same run, one by one in turns, so that the machine's moods hit both. */

import { readFile } from "node:fs/promises";
import type { TestUser } from "../test/support/synapse-api.ts";
import type { Row } from "./stats.ts";
import { pairedWakeUps, type Poll } from "./wake-ups.ts";

/** Element X's list of state, as far as a list of rooms needs it. */
const STATE = [
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.topic", ""],
  ["m.room.avatar", ""],
  ["m.room.canonical_alias", ""],
  ["m.room.power_levels", ""],
  ["m.room.join_rules", ""],
  ["m.room.tombstone", ""],
  ["m.room.create", ""],
  ["m.room.history_visibility", ""],
];
/** A session's first request: so many rooms. */
export function v3List(rooms: number) {
  return { room_list: { p: { limit: rooms }, state_events: STATE, timeline_limit: 1 }, to_device: {}, e2ee: {}, account_data: {} };
}
const V3_LIST = v3List(20);
const NATIVE_LIST = {
  lists: { all: { ranges: [[0, 19]], timeline_limit: 1, required_state: [...STATE, ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]] } },
  extensions: { to_device: { enabled: true }, e2ee: { enabled: true }, account_data: { enabled: true } },
};
const NATIVE = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
export const V3 = "/_matrix/client/v3/sync";

type Timed = {
  readonly ms: number;
  readonly body: { readonly next?: string; readonly next_batch?: string; readonly room_list?: { rooms: unknown[] }; readonly rooms?: object };
};

async function timed(user: TestUser, method: string, path: string, body?: unknown): Promise<Timed> {
  const started = performance.now();
  const answer = await user.call<Timed["body"]>(method, path, body);
  return { ms: performance.now() - started, body: answer };
}

export type Cold = { readonly first: number; readonly whole: number; readonly v2: number };

/**
 * An account that the server has never seen. `first`: sliding sync's first answer that has a room, `whole`: sync v3's, which comes when the
 * account's first sync is stored; both asked for at once. `v2`: the homeserver's own first sync.
 */
export async function coldFirst(front: TestUser, direct: TestUser): Promise<Cold> {
  // A filter of its own each time: the homeserver caches whole first answers.
  const filter = JSON.stringify({
    room: { state: { lazy_load_members: true }, timeline: { limit: 20 }, rooms: undefined },
    presence: { not_types: [`x${Date.now()}`] },
  });
  const v2 = await timed(direct, "GET", `/sync?filter=${encodeURIComponent(filter)}`);
  const [first, whole] = await Promise.all([
    timed(front, "POST", `${NATIVE}?timeout=0`, { ...NATIVE_LIST, conn_id: "cold" }),
    timed(front, "POST", V3, V3_LIST),
  ]);
  if (Object.keys(first.body.rooms ?? {}).length !== 20) throw new Error("the first answer of sliding sync has not 20 rooms");
  if (whole.body.room_list?.rooms.length !== 20) throw new Error("the first answer of sync v3 has not 20 rooms");
  return { first: first.ms, whole: whole.ms, v2: v2.ms };
}

export async function warmFirst(front: TestUser, direct: TestUser, times: number): Promise<Row> {
  const ours: number[] = [];
  const native: number[] = [];
  for (let i = 0; i < times; i += 1) {
    ours.push((await timed(front, "POST", V3, V3_LIST)).ms);
    native.push((await timed(direct, "POST", NATIVE, { ...NATIVE_LIST, conn_id: `b${i}` })).ms);
  }
  return { work: "v3: new session's first answer, 20 rooms, warm", unit: "ms", ours, peer: { name: "Synapse native sliding sync", figures: native } };
}

/**
 * From the sender's 200 to the answer of a waiting poll that has the event: one of ours, and one of the homeserver's own v2 on another
 * device, both waiting for the same event.
 */
export async function wakeUps(front: TestUser, direct: TestUser, sender: TestUser, roomId: string, times: number): Promise<Row[]> {
  const v3 = follow(
    (token) => timed(front, "POST", `${V3}?since=${token}&timeout=20000`, {}),
    await timed(front, "POST", V3, { room: { room_id: roomId, timeline_limit: 1, state: [] } }),
    (body) => body.next,
  );
  const v2 = follow(
    (token) => timed(direct, "GET", `/sync?since=${token}&timeout=20000`),
    await timed(direct, "GET", "/sync?timeout=0"),
    (body) => body.next_batch,
  );
  const { ours, peer, differences } = await pairedWakeUps([v3, v2], sender, roomId, times);
  return [
    { work: "wake-up of a v3 poll after the sender's 200", unit: "ms", ours, peer: { name: "Synapse v2", figures: peer } },
    { work: "the same, paired differences", unit: "ms", ours: differences },
  ];
}

/** Long polls, one after the other. */
function follow(ask: (token: string) => Promise<Timed>, first: Timed, next: (body: Timed["body"]) => string | undefined): Poll {
  let token = next(first.body) ?? "";
  return async () => {
    const { body } = await ask(encodeURIComponent(token));
    token = next(body) ?? "";
    return JSON.stringify(body);
  };
}

/** Resident memory of a process, MB. */
export async function residentMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}
