/** An account with many rooms: names, topics, avatars, direct chats, encryption, a few members and messages each. */

import type { HomeserverUsers, TestUser } from "../test/support/synapse-api.ts";

const AT_ONCE = 8;
const PUPPETS = 40;
const WORDS = "room server event state timeline member sync stream session token page list".split(" ");

/** Numbers from 0 to below 1, the same in each run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

export type Population = { readonly user: TestUser; readonly puppets: readonly TestUser[]; readonly rooms: readonly string[] };

/** @param say told how far it is, every few seconds */
export async function populate(users: HomeserverUsers, count: number, say: (line: string) => void): Promise<Population> {
  const random = generator(1);
  const user = await users.registerUser("bench", "BENCH");
  const puppets = await Promise.all(Array.from({ length: PUPPETS }, (_, i) => users.registerPuppet(`puppet-bench-${i}`)));
  for (const [i, puppet] of puppets.entries()) {
    await puppet.call("PUT", `/profile/${encodeURIComponent(puppet.userId)}/displayname`, { displayname: `Puppet ${i}` });
  }
  const rooms: string[] = [];
  const direct: Record<string, string[]> = {};
  let toldAt = Date.now();
  const makeRoom = async (i: number, dice: number, members: TestUser[], messages: number[]): Promise<void> => {
    const isDirect = dice < 0.2;
    const encrypted = isDirect || dice > 0.85;
    const roomId = await user.createRoom({
      preset: "public_chat",
      is_direct: isDirect,
      ...(isDirect ? {} : { name: `Room ${i} ${WORDS[i % WORDS.length]}`, topic: WORDS.join(" ") }),
      initial_state: [
        ...(encrypted ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }] : []),
        ...(isDirect ? [] : [{ type: "m.room.avatar", state_key: "", content: { url: `mxc://hs.test/room${i}` } }]),
      ],
    });
    const joining = isDirect ? members.slice(0, 1) : members;
    for (const member of joining) await member.join(roomId);
    for (const [n, who] of messages.entries()) {
      const sender = joining[who % joining.length] ?? user;
      if (encrypted) await sender.send(roomId, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "A".repeat(300) }, "m.room.encrypted");
      else await sender.send(roomId, `message ${n} ${WORDS.join(" ")}`);
    }
    const [first] = joining;
    if (isDirect && first) (direct[first.userId] ??= []).push(roomId);
    rooms.push(roomId);
    if (Date.now() - toldAt > 5000) {
      toldAt = Date.now();
      say(`  ${rooms.length} of ${count} rooms`);
    }
  };
  const plans = Array.from({ length: count }, (_, i) => ({
    i,
    dice: random(),
    members: Array.from({ length: 1 + Math.floor(random() * 7) }, (_unused, k) => puppets[(i * 7 + k) % puppets.length]).filter(
      (p) => p !== undefined,
    ),
    messages: Array.from({ length: 4 + Math.floor(random() * 6) }, () => Math.floor(random() * 100)),
  }));
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, worker) => {
      for (const plan of plans.filter(({ i }) => i % AT_ONCE === worker)) await makeRoom(plan.i, plan.dice, plan.members, plan.messages);
    }),
  );
  await user.call("PUT", `/user/${encodeURIComponent(user.userId)}/account_data/m.direct`, direct);
  return { user, puppets, rooms };
}
