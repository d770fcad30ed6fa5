/** A small population: three people, a few rooms of different kinds. */

import type { HomeserverUsers, TestUser } from "../test/support/synapse-api.ts";

export type Population = { readonly alice: TestUser; readonly bob: TestUser; readonly team: string; readonly rooms: readonly string[] };

export async function populate(users: HomeserverUsers): Promise<Population> {
  const alice = await users.registerUser("alice", "PHONE");
  const bob = await users.registerUser("bob", "LAPTOP");
  const carol = await users.registerUser("carol", "TABLET");
  for (const user of [alice, bob, carol]) {
    const name = user.userId.slice(1).split(":")[0] ?? "";
    await user.call("PUT", `/profile/${encodeURIComponent(user.userId)}/displayname`, { displayname: name[0]?.toUpperCase() + name.slice(1) });
  }
  const rooms: string[] = [];
  for (const name of ["Announcements", "Lunch", "Matrix HQ"]) {
    const roomId = await alice.createRoom({ preset: "public_chat", name, topic: `All about ${name.toLowerCase()}` });
    await bob.join(roomId);
    await bob.send(roomId, `Hello, ${name}!`);
    rooms.push(roomId);
  }
  const direct = await alice.createRoom({ preset: "trusted_private_chat", is_direct: true, invite: [bob.userId] });
  await bob.join(direct);
  await alice.call("PUT", `/user/${encodeURIComponent(alice.userId)}/account_data/m.direct`, { [bob.userId]: [direct] });
  const team = await alice.createRoom({ preset: "public_chat", name: "Team" });
  await bob.join(team);
  await carol.join(team);
  await alice.send(team, "Shall we meet?");
  await bob.send(team, "Yes, at ten");
  return { alice, bob, team, rooms: [...rooms, direct, team] };
}
