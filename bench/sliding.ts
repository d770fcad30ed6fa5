/** Simplified sliding sync as Element X speaks it, ours beside the homeserver's own endpoint: the same requests, in turns. */

import type { TestUser } from "../test/support/synapse-api.ts";
import { load } from "./load.ts";
import { cpuMs, processTree } from "./processes.ts";
import { pairedWakeUps, type Poll } from "./wake-ups.ts";
import type { Row } from "./stats.ts";

export const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const PEER = "Synapse native sliding sync";

/** The list that Element X asks for. */
const ELEMENT_X = {
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
const EXTENSIONS = { account_data: { enabled: true }, receipts: { enabled: true, rooms: ["*"] }, typing: { enabled: true } };

type Answer = { readonly pos: string; readonly rooms: Readonly<Record<string, unknown>> };

/** Asks for the newest `last + 1` rooms. */
export function listBody(connection: string, last: number) {
  return { conn_id: connection, lists: { all_rooms: { ...ELEMENT_X, ranges: [[0, last]] } }, extensions: EXTENSIONS };
}

/** First answers of new connections, warm, one client; in turns. */
export async function slidingFirst(front: TestUser, direct: TestUser, rooms: number, times: number): Promise<Row> {
  const { rooms: told } = await front.call<Answer>("POST", `${PATH}?timeout=0`, listBody("bench-first", rooms - 1));
  if (Object.keys(told).length !== rooms) throw new Error(`the first answer has not ${rooms} rooms`);
  const [ours, native]: [number[], number[]] = [[], []];
  for (let i = 0; i < TURNS; i += 1) {
    ours.push(...(await answers(front, 1, { times: times / TURNS }, rooms)).latencies);
    native.push(...(await answers(direct, 1, { times: times / TURNS }, rooms)).latencies);
  }
  return { work: `Element X's room-list request, ${rooms} rooms, warm`, unit: "ms", ours, peer: { name: PEER, figures: native } };
}

const TURNS = 5;

/** Requests answered in a second by so many clients at once, each asking again as it is answered; a second a figure. `pid`: our server's. */
export async function slidingThroughput(front: TestUser, direct: TestUser, pid: number, clients: number, seconds: number): Promise<Row> {
  const [ours, native]: [number[], number[]] = [[], []];
  let [answered, generator] = [0, 0];
  const used = { server: 0, database: 0 };
  for (let i = 0; i < seconds; i += 1) {
    const before = await cpuMs(await processTree(pid));
    const report = await answers(front, clients, { seconds: 1 }, 20);
    const after = await cpuMs(await processTree(pid));
    ours.push(report.perSecond);
    answered += report.latencies.length;
    generator += report.cpuMs;
    used.server += after.server - before.server;
    used.database += after.database - before.database;
    native.push((await answers(direct, clients, { seconds: 1 }, 20)).perSecond);
  }
  const each = (ms: number) => (ms / answered).toFixed(2);
  const note = `processor time of one answer of ours: load generator ${each(generator)}, server ${each(used.server)}, database ${each(used.database)} ms`;
  return { work: `Element X's room-list request, 20 rooms, ${clients} at once`, unit: "/s", ours, peer: { name: PEER, figures: native }, note };
}

function answers(user: TestUser, clients: number, until: { readonly seconds: number } | { readonly times: number }, rooms: number) {
  const bodies = Array.from({ length: clients }, (_, i) => JSON.stringify(listBody(`bench-${i}`, rooms - 1)));
  return load({ url: user.url, path: `${PATH}?timeout=0`, token: user.accessToken, bodies, ...until });
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
  const body = listBody("bench-wake", 99);
  let { pos } = await user.call<Answer>("POST", `${PATH}?timeout=0`, body);
  return async () => {
    const answer = await user.call<Answer>("POST", `${PATH}?timeout=20000&pos=${encodeURIComponent(pos)}`, body);
    ({ pos } = answer);
    return JSON.stringify(answer);
  };
}
