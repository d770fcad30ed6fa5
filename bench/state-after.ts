/**
 * `node scripts/run.mjs bench/state-after.ts`: what asking for the state after the timelines costs (T21). A real Synapse, a polled account in rooms
 * with ordinary traffic: how many of the state events in its timelines do not say what they replaced, and of how many it is not known; and the bytes
 * of the answers in either form.
 */

import { replacedBy, tookEffect } from "../src/upstream/ingest/state-after.ts";
import { v2Filter } from "../src/upstream/v2-filter.ts";
import type { CutEvent } from "../src/wire/event.ts";
import type { RoomId, UserId } from "../src/wire/ids.ts";
import { cutResponse } from "../src/wire/v2-response.ts";
import { startSynapse } from "../test/support/synapse.ts";
import type { TestUser } from "../test/support/synapse-api.ts";

const [USERS, ROOMS, STEPS] = [20, 8, Number(process.argv[2] ?? 1500)];
/** How often each thing happens, of 1000; the rest are messages. */
const SHARES = { rename: 10, join: 25, leave: 20, topic: 5, newRoom: 3 } as const;
/** The polls rest for so long, now and then, steps. */
const [EVERY, AWAY] = [500, 150];

type Room = { readonly id: string; readonly owner: TestUser; readonly members: Set<TestUser> };

let seed = 7;
function chance(below: number): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((seed / 2_147_483_648) * below);
}
function pick<T>(list: readonly T[]): T {
  const one = list[chance(list.length)];
  if (one === undefined) throw new Error("nothing to choose from");
  return one;
}

const synapse = await startSynapse({
  more: { experimental_features: { msc4222_enabled: true } },
  say: (line) => void process.stderr.write(`${line}\n`),
});
try {
  const { users } = synapse;
  const me = await users.registerUser("polled");
  const others: TestUser[] = [];
  for (let n = 0; n < USERS; n += 1) others.push(await users.registerUser(`user${n}`));
  const rooms: Room[] = [];
  const makeRoom = async () => {
    const owner = pick(others);
    const id = await owner.createRoom({ preset: "public_chat", name: `Room ${rooms.length}` });
    const members = new Set([owner, ...others.filter(() => chance(10) < 4)]);
    for (const one of members) if (one !== owner) await one.join(id);
    for (let n = 0; n < 60; n += 1) await pick([...members]).send(id, "before");
    await me.join(id);
    rooms.push({ id, owner, members });
  };
  for (let n = 0; n < ROOMS; n += 1) await makeRoom();

  let since: string | null = null;
  /** The present state as far as it was sent, by room, type and key. */
  const known = new Map<string, string>();
  const joined = new Set<RoomId>();
  const count = { answers: 0, state: 0, silent: 0, unknown: 0, answersUnknown: 0, full: 0, limited: 0, bytes: 0, bytesBefore: 0 };
  const ask = async (more: string): Promise<string> => {
    const filter = v2Filter({ rooms: true, presence: false, first: since === null });
    const place = since === null ? "" : `&since=${encodeURIComponent(since)}${more}`;
    return JSON.stringify(await me.call("GET", `/sync?timeout=0&filter=${encodeURIComponent(filter)}${place}`));
  };
  const poll = async () => {
    const isFirst = since === null;
    const before = await ask("");
    const text = isFirst ? before : await ask("&org.matrix.msc4222.use_state_after=true");
    const response = cutResponse(text, Date.now());
    since = response.next_batch;
    let unknown = 0;
    for (const [id, section] of response.join) {
      const isFull = !joined.has(id);
      joined.add(id);
      if (!isFirst && isFull) count.full += 1;
      else if (!isFirst && section.limited) count.limited += 1;
      const took = tookEffect(section, { me: me.userId as UserId, isFull, to: "join" });
      const keyOf = ({ type, state_key }: CutEvent) => JSON.stringify([id, type, state_key]);
      for (const event of section.state) known.set(keyOf(event), event.event_id);
      for (const event of section.timeline) {
        if (event.state_key === null) continue;
        const [replaced, present] = [replacedBy(event), known.get(keyOf(event))];
        known.set(keyOf(event), event.event_id);
        if (!took?.has(event.event_id)) continue;
        count.state += 1;
        if (replaced === null && present !== undefined && present !== event.event_id) count.silent += 1;
        if (replaced !== null && present !== replaced) unknown += 1;
      }
    }
    if (isFirst) return;
    count.answers += 1;
    count.bytes += Buffer.byteLength(text);
    count.bytesBefore += Buffer.byteLength(before);
    count.unknown += unknown;
    if (unknown > 0) count.answersUnknown += 1;
  };
  const happens = async (n: number) => {
    const room = pick(rooms);
    const user = pick([...room.members]);
    let at = chance(1000);
    if ((at -= SHARES.rename) < 0) return user.call("PUT", `/profile/${encodeURIComponent(user.userId)}/displayname`, { displayname: `Name ${n}` });
    if ((at -= SHARES.join) < 0) {
      const other = pick(others);
      if (!room.members.has(other)) await other.join(room.id);
      return room.members.add(other);
    }
    if ((at -= SHARES.leave) < 0 && user !== room.owner) {
      room.members.delete(user);
      return user.leave(room.id);
    }
    if ((at -= SHARES.topic) < 0) return room.owner.setState(room.id, "m.room.topic", "", { topic: `Topic ${n}` });
    if ((at -= SHARES.newRoom) < 0) return makeRoom();
    return user.send(room.id, `Message ${n}`);
  };
  await poll();
  for (let n = 0; n < STEPS; n += 1) {
    await happens(n);
    if (n % EVERY < EVERY - AWAY && chance(10) < 7) await poll();
  }
  process.stdout.write(
    `${count.answers} answers, ${count.full} rooms in full, ${count.limited} gaps; ${count.state} state events in timelines: ` +
      `${count.silent} do not say what they replaced, of ${count.unknown} it is not known (${count.answersUnknown} answers); ` +
      `bytes an answer: ${Math.round(count.bytesBefore / count.answers)} with the state before, ${Math.round(count.bytes / count.answers)} with that after\n`,
  );
} finally {
  await synapse.stop();
}
