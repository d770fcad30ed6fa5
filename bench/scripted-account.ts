/** An account on the fake homeserver: made in no time, the same in each run, about as large as real ones. */

import { ev, type Json, newRoom, receipt, type RoomParts, type V2Parts } from "../test/support/events.ts";

export type ScriptedAccount = { readonly userId: string; readonly rooms: readonly string[]; readonly first: V2Parts };

const WORDS = "room server event state timeline member sync stream session token page list".split(" ");

/** Numbers from 0 to below 1, the same in each run. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

/** What an account of `count` rooms first hears: names, topics, avatars, direct chats, encryption, a few members and messages each. */
export function scriptedAccount(userId: string, count: number, seed = 1): ScriptedAccount {
  const random = generator(seed);
  const join: Record<string, RoomParts> = {};
  const direct: Record<string, string[]> = {};
  for (let i = 0; i < count; i += 1) {
    const roomId = `!bench${seed}-${i}:bench`;
    const members = Array.from({ length: 1 + Math.floor(random() * 7) }, () => `@puppet${Math.floor(random() * 40)}:bench`);
    const isDirect = random() < 0.2;
    if (isDirect) (direct[members[0] ?? ""] ??= []).push(roomId);
    join[roomId] = roomOf(userId, i, isDirect ? members.slice(0, 1) : members, isDirect || random() > 0.85, random);
  }
  const accountData: Json[] = [
    { type: "m.direct", content: direct },
    {
      type: "m.push_rules",
      content: { global: { override: Array.from({ length: 15 }, (_, i) => ({ rule_id: `.m.rule.${i}`, enabled: true, actions: ["notify"] })) } },
    },
  ];
  return { userId, rooms: Object.keys(join), first: { join, account_data: accountData, one_time_keys: { signed_curve25519: 50 } } };
}

export function roomOf(me: string, i: number, members: readonly string[], encrypted: boolean, random: () => number): RoomParts {
  const aged = (over: Json = {}) => ({ unsigned: { age: Math.floor(random() * 1e9) }, ...over });
  const creator = members[0] ?? me;
  const state = [
    ...newRoom(creator),
    ev.state("m.room.history_visibility", "", creator, { history_visibility: "shared" }, aged()),
    ev.name(creator, `Room ${i} ${WORDS[i % WORDS.length]}`, aged()),
    ev.topic(creator, WORDS.join(" "), aged()),
    ev.state("m.room.avatar", "", creator, { url: `mxc://bench/room${i}` }, aged()),
    ...(encrypted ? [ev.encryption(creator, aged())] : []),
    ...[...new Set([me, ...members.slice(1)])].map((user) =>
      ev.member(user, "join", { displayname: `Name of ${user}`, avatar_url: `mxc://bench/${user.slice(1, 9)}` }, aged()),
    ),
  ];
  const timeline = Array.from({ length: 4 + Math.floor(random() * 6) }, (_, n) => {
    const sender = members[Math.floor(random() * members.length)] ?? me;
    return encrypted
      ? ev.event("m.room.encrypted", sender, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "A".repeat(300) }, aged())
      : ev.message(sender, `message ${n} ${WORDS.join(" ")}`, aged());
  });
  const last = timeline.at(-1)?.event_id ?? "";
  return {
    state,
    timeline,
    limited: true,
    prev_batch: `p${i}`,
    ephemeral: [receipt(last, creator), receipt(last, me)],
    account_data: [{ type: "m.fully_read", content: { event_id: last } }],
    summary: { "m.joined_member_count": members.length + 1, "m.invited_member_count": 0 },
    unread: { notification_count: i % 3, highlight_count: 0 },
  };
}
