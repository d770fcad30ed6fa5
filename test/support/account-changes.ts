/** What can happen to a varied account, one thing after the other; each says when it has been told. */

import type { Json } from "./events.ts";
import type { TestUser } from "./synapse-api.ts";
import { accountData, inTimeline, memberInTimeline, receipt, roomWith, typing, type Contains } from "./answer-contains.ts";
import type { RoomLabel, VariedAccount } from "./varied-account.ts";

/** `app`: alice, as the device whose answers are looked at. */
type Happens = (account: VariedAccount, app: TestUser) => Promise<Contains>;

const KEY = "m.megolm.v1.aes-sha2";

/** Each is a single change, so it is told at once. They build on each other. */
export const SINGLE_CHANGES: readonly (readonly [name: string, happens: Happens])[] = [
  // ---- Messages
  ["a message", (a) => sent(a.bob, a.room("named"), "hello")],
  ["a message in a room of an old version", (a) => sent(a.bob, a.room("old version"), "hello")],
  ["a mention", (a) => sent(a.bob, a.room("encrypted"), "Alice, look!")],
  ["an own message, with the device's transaction id", (a, app) => sent(app, a.room("dm"), "from the app")],
  ["an own message of another device", (a) => sent(a.alice, a.room("dm"), "from elsewhere")],
  ["an encrypted message", (a) => sent(a.bob, a.room("encrypted"), { algorithm: KEY, ciphertext: "y" }, "m.room.encrypted")],
  ["an event that does not raise its room", (a) => sent(a.bob, a.room("crowd"), { x: 1 }, "test.other")],
  ["a message beside those of an ignored user", (a) => sent(a.bob, a.room("with an ignored user"), "hello")],
  ["a message in a room with many members", (a) => sent(a.bob, a.room("crowd"), "hello all")],
  ["a reaction", (a) => related(a, { rel_type: "m.annotation", key: "!" }, "m.reaction")],
  ["an edit", (a) => related(a, { rel_type: "m.replace" })],
  ["a message in a thread", (a) => related(a, { rel_type: "m.thread" })],
  ["a redaction", (a) => redacted(a.bob, a.room("named"), a.events.message)],
  ["a redaction in a room of an old version", (a) => redacted(a.bob, a.room("old version"), a.events.oldMessage)],
  // ---- State
  ["a topic", (a) => state(a.alice, a.room("named"), "m.room.topic", { topic: "of other things" })],
  ["a name", (a) => state(a.alice, a.room("named"), "m.room.name", { name: "Renamed" })],
  ["a name for a room without one", (a) => state(a.bob, a.room("unnamed"), "m.room.name", { name: "Named after all" })],
  ["a name that is removed", (a) => state(a.bob, a.room("unnamed"), "m.room.name", { name: "" })],
  ["an avatar", (a) => state(a.alice, a.room("named"), "m.room.avatar", { url: "mxc://hs.test/new" })],
  ["an avatar that is removed", (a) => state(a.alice, a.room("pictured"), "m.room.avatar", {})],
  ["a state event that the list does not ask for", (a) => state(a.alice, a.room("named"), "test.state", { x: 1 }, "key")],
  ["encryption", (a) => state(a.alice, a.room("favourite"), "m.room.encryption", { algorithm: KEY })],
  ["a child of a space", (a) => state(a.alice, a.room("space"), "m.space.child", { via: ["hs.test"] }, a.room("long"))],
  ["a child of a space that is removed", (a) => state(a.alice, a.room("space"), "m.space.child", {}, a.room("long"))],
  ["a tombstone", (a) => state(a.alice, a.room("low priority"), "m.room.tombstone", { body: "gone", replacement_room: a.room("named") })],
  // ---- Members
  ["someone joins", (a) => member(a.carol, "join", a.room("long"))],
  ["someone with another name", (a) => renamed(a.carol, a.room("long"), "Caroline")],
  ["someone leaves", (a) => member(a.carol, "leave", a.room("long"))],
  ["a member of an unnamed room leaves", (a) => member(a.carol, "leave", a.room("unnamed"))],
  ["someone is invited", (a) => moved(a.alice, "invite", a.room("favourite"), a.carol)],
  ["someone is banned", (a) => moved(a.alice, "ban", a.room("favourite"), a.carol)],
  // ---- Alice herself
  ["an own join", (a) => member(a.alice, "join", a.room("not joined"))],
  ["an own leave", (a) => member(a.alice, "leave", a.room("not joined"))],
  ["an own join again", (a) => member(a.alice, "join", a.room("not joined"))],
  ["an own join of a room left long ago", (a) => member(a.alice, "join", a.room("left"))],
  ["an own join of a forgotten room", (a) => member(a.alice, "join", a.room("forgotten"))],
  ["a kick", (a) => moved(a.bob, "kick", a.room("left"), a.alice)],
  ["an own join after the kick", (a) => member(a.alice, "join", a.room("left"))],
  ["a ban", (a) => moved(a.bob, "ban", a.room("left"), a.alice)],
  ["an invite", (a) => invited(a, "invite while connected")],
  ["an invite that is rejected", (a) => rejected(a, "invite while connected")],
  ["an invite that is accepted", (a) => member(a.alice, "join", a.room("invite"))],
  ["an invite that is accepted, once more", (a) => member(a.alice, "join", a.room("invite encrypted"))],
  ["an invite that is withdrawn", (a) => moved(a.bob, "kick", a.room("invite to space"), a.alice)],
  ["a knock that is answered", (a) => answered(a)],
  // ---- Account data, receipts, typing
  ["account data", (a) => data(a, "test.setting", { volume: 3 })],
  ["a room's account data", (a) => data(a, "test.room.setting", { colour: "red" }, "dm")],
  ["a room that is marked as unread", (a) => data(a, "m.marked_unread", { unread: true }, "dm")],
  ["a tag", (a) => tagged(a, "long", "PUT")],
  ["a tag that is removed", (a) => tagged(a, "long", "DELETE")],
  ["a room that becomes a direct one", (a) => data(a, "m.direct", { [a.bob.userId]: [a.room("dm"), a.room("unnamed")] })],
  ["a room that is direct no more", (a) => data(a, "m.direct", { [a.bob.userId]: [a.room("dm")] })],
  ["a push rule", (a) => pushRule(a)],
  ["someone has read", (a) => readLast(a, a.bob, "named")],
  ["someone has read a thread", (a) => read(a.bob, a.room("related"), a.events.threaded, "m.read", a.events.root)],
  ["alice has read", (a) => readLast(a, a.alice, "long")],
  ["alice has read, which nobody is to know", (a) => readLast(a, a.alice, "related", "m.read.private")],
  ["someone types", (a) => types(a.bob, true, a.room("named"), a.bob)],
  ["another one types, too", (a) => types(a.carol, true, a.room("named"), a.bob, a.carol)],
  ["one stops to type", (a) => types(a.carol, false, a.room("named"), a.bob)],
  ["nobody types", (a) => types(a.bob, false, a.room("named"))],
];

async function sent(user: TestUser, roomId: string, content: string | Json, type?: string): Promise<Contains> {
  return inTimeline(roomId, await user.send(roomId, content, type));
}

async function state(user: TestUser, roomId: string, type: string, content: Json, key = ""): Promise<Contains> {
  return inTimeline(roomId, await user.setState(roomId, type, key, content));
}

async function lastEvent(user: TestUser, roomId: string): Promise<string> {
  const path = `/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=1`;
  const { chunk } = await user.call<{ chunk: { event_id: string }[] }>("GET", path);
  return chunk[0]?.event_id ?? "";
}

async function related({ bob, room, events }: VariedAccount, relation: Json, type?: string): Promise<Contains> {
  const text = { msgtype: "m.text", body: "related", "m.new_content": { msgtype: "m.text", body: "edited" } };
  return sent(bob, room("related"), { ...(type === undefined && text), "m.relates_to": { ...relation, event_id: events.root } }, type);
}

async function redacted(user: TestUser, roomId: string, eventId: string): Promise<Contains> {
  const path = `/rooms/${encodeURIComponent(roomId)}/redact/${encodeURIComponent(eventId)}/1`;
  const { event_id } = await user.call<{ event_id: string }>("PUT", path, {});
  return inTimeline(roomId, event_id);
}

async function member(user: TestUser, membership: "join" | "leave", roomId: string): Promise<Contains> {
  await user[membership](roomId);
  return memberInTimeline(roomId, user.userId, membership);
}

async function moved(by: TestUser, action: "invite" | "kick" | "ban", roomId: string, user: TestUser): Promise<Contains> {
  await by.call("POST", `/rooms/${encodeURIComponent(roomId)}/${action}`, { user_id: user.userId });
  return memberInTimeline(roomId, user.userId, action === "kick" ? "leave" : action);
}

async function renamed(user: TestUser, roomId: string, displayname: string): Promise<Contains> {
  return state(user, roomId, "m.room.member", { membership: "join", displayname }, user.userId);
}

async function invited({ alice, bob, label }: VariedAccount, name: string): Promise<Contains> {
  const roomId = label(await bob.createRoom({ preset: "private_chat", name }), name);
  await bob.invite(roomId, alice.userId);
  return roomWith(roomId, "invite_state");
}

async function rejected({ alice, idOf }: VariedAccount, label: string): Promise<Contains> {
  return member(alice, "leave", idOf(label));
}

async function answered({ alice, bob, room }: VariedAccount): Promise<Contains> {
  await bob.invite(room("knocked"), alice.userId);
  return roomWith(room("knocked"), "invite_state");
}

async function tagged({ alice, room }: VariedAccount, label: RoomLabel, method: "PUT" | "DELETE"): Promise<Contains> {
  const path = `/user/${encodeURIComponent(alice.userId)}/rooms/${encodeURIComponent(room(label))}/tags/m.favourite`;
  await alice.call(method, path, method === "PUT" ? { order: 0.1 } : undefined);
  return accountData("m.tag", room(label));
}

async function data(account: VariedAccount, type: string, content: Json, label?: RoomLabel): Promise<Contains> {
  const roomId = label === undefined ? undefined : account.room(label);
  await account.setData(type, content, roomId);
  return accountData(type, roomId);
}

async function pushRule({ alice }: VariedAccount): Promise<Contains> {
  await alice.call("PUT", "/pushrules/global/content/test", { pattern: "test", actions: ["notify"] });
  return accountData("m.push_rules");
}

async function readLast({ room }: VariedAccount, user: TestUser, label: RoomLabel, kind = "m.read"): Promise<Contains> {
  return read(user, room(label), await lastEvent(user, room(label)), kind);
}

async function read(user: TestUser, roomId: string, eventId: string, kind: string, thread?: string): Promise<Contains> {
  const path = `/rooms/${encodeURIComponent(roomId)}/receipt/${kind}/${encodeURIComponent(eventId)}`;
  await user.call("POST", path, thread === undefined ? {} : { thread_id: thread });
  return receipt(roomId, eventId, user.userId, kind);
}

async function types(user: TestUser, typed: boolean, roomId: string, ...all: TestUser[]): Promise<Contains> {
  await user.typing(roomId, typed);
  return typing(roomId, ...all.map(({ userId }) => userId));
}
