/** An account with a room of every kind, made on a homeserver. */

import type { Json } from "./events.ts";
import type { HomeserverUsers, TestUser } from "./synapse-api.ts";

/** What `VariedAccount.rooms` has, in the order in which the rooms are made. */
export type RoomLabel = (typeof LABELS)[number];

const LABELS = [
  "named",
  "dm",
  "dm invited to",
  "encrypted",
  "space",
  "favourite",
  "low priority",
  "pictured",
  "old version",
  "tombstoned",
  "successor",
  "long",
  "crowd",
  "redacted",
  "related",
  "with an ignored user",
  "unnamed",
  "alone",
  "name removed",
  "joined late",
  "joined late, hidden past",
  "left",
  "forgotten",
  "kicked",
  "banned",
  "unbanned",
  "rejected",
  "knocked",
  "invite",
  "invite as dm",
  "invite encrypted",
  "invite to space",
  "invite withdrawn",
  "invite of an ignored user",
  "not joined",
] as const;

const ENCRYPTION = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const HIDDEN_PAST = { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } };
const CROWD = 30;

export class VariedAccount {
  /** Whose account it is, as a device that no client uses. */
  readonly alice: TestUser;
  readonly bob: TestUser;
  readonly carol: TestUser;
  /** Alice ignores him. */
  readonly mallory: TestUser;
  /** Events that something may happen to. */
  readonly events = { root: "", threaded: "", message: "", oldMessage: "" };
  readonly #rooms = new Map<RoomLabel, string>();
  readonly #labels = new Map<string, string>();

  private constructor(alice: TestUser, bob: TestUser, carol: TestUser, mallory: TestUser) {
    this.alice = alice;
    this.bob = bob;
    this.carol = carol;
    this.mallory = mallory;
  }

  /** Makes it all; names of users begin with `prefix`. */
  static async make(users: HomeserverUsers, prefix: string): Promise<VariedAccount> {
    const [alice, bob, carol, mallory] = await Promise.all(
      ["alice", "bob", "carol", "mallory"].map((name) => users.registerUser(`${prefix}-${name}`)),
    );
    if (!alice || !bob || !carol || !mallory) throw new Error("unreachable");
    const account = new VariedAccount(alice, bob, carol, mallory);
    await alice.call("PUT", `/profile/${encodeURIComponent(alice.userId)}/displayname`, { displayname: "Alice" });
    await bob.call("PUT", `/profile/${encodeURIComponent(bob.userId)}/avatar_url`, { avatar_url: "mxc://hs.test/bob" });
    await account.setData("m.ignored_user_list", { ignored_users: { [mallory.userId]: {} } });
    await account.setData("test.setting", { volume: 11 });
    await account.#makeOwn(prefix);
    await account.#makeJoined(users, prefix);
    await account.#makeLeft();
    return account;
  }

  /**
   * Invites, and then some more of what is newer than they are. Apart, since v2 does not tell of an invite how old it is: who is told
   * of it as it comes knows, who hears of it in a first sync does not.
   */
  async invite(): Promise<void> {
    await this.#makeInvites();
    await this.#makePrivate();
  }

  /** The room's id. */
  room = (label: RoomLabel): string => {
    const roomId = this.#rooms.get(label);
    if (roomId === undefined) throw new Error(`there is no room "${label}"`);
    return roomId;
  };

  /** What a room is called here; rooms made later have to be `label`led. */
  labelOf = (roomId: string): string => this.#labels.get(roomId) ?? roomId;

  label = (roomId: string, label: string): string => {
    this.#labels.set(roomId, label);
    return roomId;
  };

  /** Alice's account data; of a room where one is given. */
  async setData(type: string, content: Json, roomId?: string): Promise<void> {
    const room = roomId === undefined ? "" : `/rooms/${encodeURIComponent(roomId)}`;
    await this.alice.call("PUT", `/user/${encodeURIComponent(this.alice.userId)}${room}/account_data/${encodeURIComponent(type)}`, content);
  }

  async setTag(roomId: string, tag: string, order: number): Promise<void> {
    await this.alice.call("PUT", `/user/${encodeURIComponent(this.alice.userId)}/rooms/${encodeURIComponent(roomId)}/tags/${tag}`, { order });
  }

  /** The room that was labelled so. */
  idOf = (label: string): string => {
    const found = [...this.#labels].find(([, of]) => of === label);
    if (!found) throw new Error(`no room is called "${label}"`);
    return found[0];
  };

  async #add(label: RoomLabel, creator: TestUser, body: Json): Promise<string> {
    const roomId = await creator.createRoom(body);
    this.#rooms.set(label, roomId);
    return this.label(roomId, label);
  }

  /** Rooms that alice has made. */
  async #makeOwn(prefix: string): Promise<void> {
    const { alice, bob, carol } = this;
    const named = await this.#add("named", alice, { preset: "public_chat", name: "Named", topic: "of this and that" });
    await bob.join(named);
    for (const text of ["one", "two", "three"]) this.events.message = await bob.send(named, text);
    const dm = await this.#add("dm", alice, { preset: "trusted_private_chat", is_direct: true, invite: [bob.userId] });
    await bob.join(dm);
    await bob.send(dm, "just us");
    const invited = await this.#add("dm invited to", alice, { preset: "trusted_private_chat", is_direct: true, invite: [carol.userId] });
    await this.setData("m.direct", { [bob.userId]: [dm], [carol.userId]: [invited] });
    const encrypted = await this.#add("encrypted", alice, {
      preset: "private_chat",
      name: "Secret",
      invite: [bob.userId],
      initial_state: [ENCRYPTION],
    });
    await bob.join(encrypted);
    await bob.send(encrypted, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "x", session_id: "s" }, "m.room.encrypted");
    const space = await this.#add("space", alice, { preset: "public_chat", name: "Space", creation_content: { type: "m.space" } });
    await alice.setState(space, "m.space.child", named, { via: ["hs.test"] });
    await alice.setState(named, "m.space.parent", space, { via: ["hs.test"], canonical: true });
    const favourite = await this.#add("favourite", alice, { preset: "private_chat", name: "Favourite" });
    await this.setTag(favourite, "m.favourite", 0.5);
    const low = await this.#add("low priority", alice, { preset: "private_chat", name: "Low priority" });
    await this.setTag(low, "m.lowpriority", 0.5);
    const pictured = await this.#add("pictured", alice, { preset: "public_chat", name: "Pictured", room_alias_name: `${prefix}-pictured` });
    await alice.setState(pictured, "m.room.avatar", "", { url: "mxc://hs.test/pictured" });
    const version = { preset: "public_chat", name: "Version 1", room_version: "1" };
    await bob.join(await this.#add("old version", alice, version));
    this.events.oldMessage = await bob.send(this.room("old version"), "with an event id of the old kind");
    const tombstoned = await this.#add("tombstoned", alice, { preset: "public_chat", name: "Moving", room_version: "10" });
    await bob.join(tombstoned);
    const path = `/rooms/${encodeURIComponent(tombstoned)}/upgrade`;
    const { replacement_room: successor } = await alice.call<{ replacement_room: string }>("POST", path, { new_version: "11" });
    this.#rooms.set("successor", this.label(successor, "successor"));
  }

  /** Rooms of others that alice has joined, and some more of hers. */
  async #makeJoined(users: HomeserverUsers, prefix: string): Promise<void> {
    const { alice, bob, carol, mallory } = this;
    const long = await this.#add("long", bob, { preset: "public_chat", name: "Long" });
    await alice.join(long);
    for (let i = 1; i <= 60; i += 1) await (i % 3 === 0 ? alice : bob).send(long, `message ${i}`);
    const crowd = await this.#add("crowd", bob, { preset: "public_chat", name: "Crowd" });
    await alice.join(crowd);
    const puppets = await Promise.all(Array.from({ length: CROWD }, (_, i) => users.registerPuppet(`puppet-${prefix}-${i}`)));
    for (const puppet of puppets) await puppet.join(crowd);
    await puppets[0]?.send(crowd, "so many");
    await puppets[1]?.leave(crowd);
    const redacted = await this.#add("redacted", bob, { preset: "public_chat", name: "Redacted", topic: "to be redacted" });
    await alice.join(redacted);
    const sent = [await bob.send(redacted, "kept"), await bob.send(redacted, "not kept")];
    const topic = await bob.setState(redacted, "m.room.topic", "", { topic: "not kept either" });
    for (const eventId of [sent[1], topic]) {
      await bob.call("PUT", `/rooms/${encodeURIComponent(redacted)}/redact/${encodeURIComponent(eventId ?? "")}/t${eventId?.slice(1, 9)}`, {
        reason: "why not",
      });
    }
    const related = await this.#add("related", bob, { preset: "public_chat", name: "Related" });
    await alice.join(related);
    const root = await bob.send(related, "root");
    this.events.root = root;
    const relate = (relation: Json, more: Json = {}): Json => ({ msgtype: "m.text", body: "related", ...more, "m.relates_to": relation });
    this.events.threaded = await alice.send(related, relate({ rel_type: "m.thread", event_id: root }));
    await bob.send(related, relate({ rel_type: "m.replace", event_id: root }, { "m.new_content": { msgtype: "m.text", body: "edited" } }));
    await alice.send(related, { "m.relates_to": { rel_type: "m.annotation", event_id: root, key: "+" } }, "m.reaction");
    await alice.send(related, relate({ "m.in_reply_to": { event_id: root } }));
    const ignored = await this.#add("with an ignored user", bob, { preset: "public_chat", name: "With an ignored user" });
    for (const user of [alice, mallory, carol]) await user.join(ignored);
    await mallory.send(ignored, "buy this");
    await bob.send(ignored, "no, thank you");
    const unnamed = await this.#add("unnamed", bob, { preset: "public_chat", invite: [mallory.userId] });
    for (const user of [carol, alice]) await user.join(unnamed);
    const alone = await this.#add("alone", alice, { preset: "private_chat" });
    await alice.send(alone, "a note to myself");
    const removed = await this.#add("name removed", alice, { preset: "private_chat", name: "Removed", invite: [bob.userId] });
    await alice.setState(removed, "m.room.avatar", "", { url: "mxc://hs.test/removed" });
    await alice.setState(removed, "m.room.name", "", { name: "" });
    await alice.setState(removed, "m.room.avatar", "", {});
    for (const [label, body] of [
      ["joined late", { preset: "public_chat", name: "Joined late" }],
      ["joined late, hidden past", { preset: "public_chat", name: "Hidden past", initial_state: [HIDDEN_PAST] }],
    ] as const) {
      const late = await this.#add(label, bob, body);
      for (const text of ["before", "just before"]) await bob.send(late, text);
      await alice.join(late);
      await bob.send(late, "after");
    }
  }

  /** Rooms that alice was in, or could have been. */
  async #makeLeft(): Promise<void> {
    const { alice, bob } = this;
    for (const label of ["left", "forgotten", "kicked", "banned", "unbanned"] as const) {
      const roomId = await this.#add(label, bob, { preset: "public_chat", name: `Name of ${label}` });
      await alice.join(roomId);
      await bob.send(roomId, "with alice");
    }
    for (const label of ["left", "forgotten"] as const) await alice.leave(this.room(label));
    await alice.call("POST", `/rooms/${encodeURIComponent(this.room("forgotten"))}/forget`, {});
    await bob.kick(this.room("kicked"), alice.userId);
    for (const label of ["banned", "unbanned"] as const) await this.#asBob("ban", this.room(label));
    await this.#asBob("unban", this.room("unbanned"));
    for (const label of ["kicked", "banned", "unbanned", "left"] as const) await bob.send(this.room(label), "without alice");
  }

  async #makeInvites(): Promise<void> {
    const { alice, bob, mallory } = this;
    const rejected = await this.#add("rejected", bob, { preset: "private_chat", name: "Rejected", invite: [alice.userId] });
    await alice.leave(rejected);
    const knock = { type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } };
    const knocked = await this.#add("knocked", bob, { preset: "private_chat", name: "Knocked", initial_state: [knock] });
    await alice.call("POST", `/knock/${encodeURIComponent(knocked)}`, { reason: "let me in" });
    const invite = [alice.userId];
    await this.#add("invite", bob, { preset: "private_chat", name: "Invite", topic: "come in", invite });
    await this.#add("invite as dm", bob, { preset: "trusted_private_chat", is_direct: true, invite });
    await this.#add("invite encrypted", bob, { preset: "private_chat", name: "Secret invite", initial_state: [ENCRYPTION], invite });
    await this.#add("invite to space", bob, { preset: "private_chat", name: "Space to be", creation_content: { type: "m.space" }, invite });
    const withdrawn = await this.#add("invite withdrawn", bob, { preset: "private_chat", name: "Withdrawn", invite });
    await bob.kick(withdrawn, alice.userId);
    await this.#add("invite of an ignored user", mallory, { preset: "private_chat", name: "Spam", invite });
    const other = await this.#add("not joined", bob, { preset: "public_chat", name: "Not joined" });
    await bob.setState(other, "m.room.history_visibility", "", { history_visibility: "world_readable" });
  }

  /** What alice alone has, and what is not in a timeline. */
  async #makePrivate(): Promise<void> {
    const { alice, bob, carol } = this;
    const last = await bob.send(this.room("named"), "last");
    await bob.send(this.room("long"), "to be read");
    const read = await alice.send(this.room("long"), "read");
    await bob.readReceipt(this.room("long"), read);
    await carol.join(this.room("named"));
    for (const user of [bob, carol]) await user.readReceipt(this.room("named"), last);
    await alice.readReceipt(this.room("named"), last, "m.read.private");
    await alice.readReceipt(this.room("named"), last, "m.fully_read");
    await this.setData("m.marked_unread", { unread: true }, this.room("favourite"));
    await this.setData("test.room.setting", { colour: "green" }, this.room("dm"));
  }

  async #asBob(action: "ban" | "unban", roomId: string): Promise<void> {
    await this.bob.call("POST", `/rooms/${encodeURIComponent(roomId)}/${action}`, { user_id: this.alice.userId });
  }
}
