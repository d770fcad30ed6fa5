/** Simplified sliding sync as Element X speaks it, ours beside the homeserver's own endpoint: the same requests, in turns. */

import type { TestUser } from "../test/support/synapse-api.ts";
import { pairedWakeUps, type Poll } from "./wake-ups.ts";
import type { Row } from "./stats.ts";

export const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const PEER = "Synapse native sliding sync";

/** The list that Element X asks for. */
export const ELEMENT_X = {
  timeline_limit: 1,
  filters: {},
  required_state: [
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
    ["m.room.topic", ""],
    ["m.room.avatar", ""],
    ["m.room.canonical_alias", ""],
    ["m.room.power_levels", ""],
    ["org.matrix.msc3401.call.member", "*"],
    ["m.room.join_rules", ""],
    ["m.room.tombstone", ""],
    ["m.room.create", ""],
    ["m.room.history_visibility", ""],
    ["io.element.functional_members", ""],
    ["m.space.parent", "*"],
    ["m.space.child", "*"],
    ["org.matrix.msc3672.beacon_info", "*"],
  ],
};
export const EXTENSIONS = { account_data: { enabled: true }, receipts: { enabled: true, rooms: ["*"] }, typing: { enabled: true } };

type Answer = { readonly pos: string; readonly rooms: Readonly<Record<string, unknown>> };

/** A request that begins a connection anew, for the newest `last + 1` rooms. */
function firstRequest(user: TestUser, connection: string, last: number): Promise<Answer> {
  const body = { conn_id: connection, lists: { all_rooms: { ...ELEMENT_X, ranges: [[0, last]] } }, extensions: EXTENSIONS };
  return user.call<Answer>("POST", `${PATH}?timeout=0`, body);
}

/** First answers of new connections, warm. */
export async function slidingFirst(front: TestUser, direct: TestUser, rooms: number, times: number): Promise<Row> {
  const ours: number[] = [];
  const native: number[] = [];
  const timed = async (user: TestUser, figures: number[]) => {
    const started = performance.now();
    const answer = await firstRequest(user, "bench-first", rooms - 1);
    figures.push(performance.now() - started);
    if (Object.keys(answer.rooms).length !== rooms) throw new Error(`the first answer has not ${rooms} rooms`);
  };
  for (let i = 0; i < times; i += 1) {
    await timed(front, ours);
    await timed(direct, native);
  }
  return { work: `Element X's room-list request, ${rooms} rooms, warm`, unit: "ms", ours, peer: { name: PEER, figures: native } };
}

/** Requests answered in a second by so many clients at once, each asking again as it is answered; a second a figure. */
export async function slidingThroughput(front: TestUser, direct: TestUser, clients: number, seconds: number): Promise<Row> {
  const ours: number[] = [];
  const native: number[] = [];
  for (let i = 0; i < seconds; i += 1) {
    ours.push(await answeredInASecond(front, clients));
    native.push(await answeredInASecond(direct, clients));
  }
  return { work: `Element X's room-list request, 20 rooms, ${clients} at once`, unit: "/s", ours, peer: { name: PEER, figures: native } };
}

async function answeredInASecond(user: TestUser, clients: number): Promise<number> {
  const started = performance.now();
  let answered = 0;
  const client = async (name: string) => {
    while (performance.now() - started < 1000) {
      await firstRequest(user, name, 19);
      answered += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, i) => client(`bench-${i}`)));
  return (answered / (performance.now() - started)) * 1000;
}

/** From the sender's 200 to the answer of a waiting poll, on connections that hold all rooms. */
export async function slidingWakeUps(front: TestUser, direct: TestUser, sender: TestUser, roomId: string, times: number): Promise<Row[]> {
  const polls = await Promise.all([follow(front), follow(direct)]);
  const { ours, peer, differences } = await pairedWakeUps(polls, sender, roomId, times);
  return [
    { work: "wake-up of Element X's poll after the sender's 200", unit: "ms", ours, peer: { name: PEER, figures: peer } },
    { work: "the same, paired differences", unit: "ms", ours: differences },
  ];
}

async function follow(user: TestUser): Promise<Poll> {
  const body = { conn_id: "bench-wake", lists: { all_rooms: { ...ELEMENT_X, ranges: [[0, 99]] } }, extensions: EXTENSIONS };
  let { pos } = await user.call<Answer>("POST", `${PATH}?timeout=0`, body);
  return async () => {
    const answer = await user.call<Answer>("POST", `${PATH}?timeout=20000&pos=${encodeURIComponent(pos)}`, body);
    ({ pos } = answer);
    return JSON.stringify(answer);
  };
}
