/** Situations that people reported of other servers and clients: homeservers and tokens. docs/RELIABILITY.md lists all. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";
import { ALICE, all, follow, membersTold, messages, stateEvent } from "../support/followed-room.ts";
import { newcomer } from "../support/listed.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { hangReply, LONG, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const NULLS = ["summary", "unread_notifications", "ephemeral", "account_data", "state"];
const WITHOUT_ROOMS = { presence: null, to_device: null, device_lists: null, account_data: null, groups: null };
const EXT = Object.fromEntries(["to_device", "e2ee", "account_data", "receipts", "typing"].map((name) => [name, { enabled: true }]));

describe.each(DIALECTS)("homeservers (%s)", (dialect) => {
  it("M59: null in place of any part of an answer is as if the part were not there (matrix-rust-sdk #4798)", async () => {
    const client = newcomer(t, dialect);
    const first = await client.sync({ ...all({ limit: 5 }), ext: EXT });
    const rooms = Object.fromEntries(
      NULLS.map((name) => [`!${name}:test`, { state: { events: newRoom(ALICE) }, timeline: { events: [ev.message(ALICE)] }, [name]: null }]),
    );
    const events = { timeline: { events: null, limited: null, prev_batch: null }, state: { events: [ev.member(client.client.userId)] } };
    const sections = { "!list:test": events, "!none:test": null };
    await t.deliver(client.client, { ...WITHOUT_ROOMS, rooms: { join: { ...rooms, ...sections }, leave: null, invite: null, knock: null } });
    const then = await client.sync({ ...all({ limit: 5 }), ext: EXT }, { pos: first.pos });
    expect(Object.keys(then.rooms).toSorted()).toEqual([...NULLS.map((name) => `!${name}:test`), "!list:test"].toSorted());
    await t.deliver(client.client, { ...WITHOUT_ROOMS, rooms: null });
    await t.deliver(client.client, v2({ to_device: [toDevice(ALICE)] }));
    expect((await client.sync({ ...all(), ext: EXT }, { pos: then.pos })).extensions["to_device"].events).toHaveLength(1);
  });

  it("M60: while a refresh is under way requests with the old and the new token go on side by side (element-x-android #3028)", async () => {
    const room = await follow(t, dialect, { parts: { timeline: messages(1) } });
    const old = room.client;
    const rooms = await hangReply(t, old, all(), { pos: room.answer.pos, timeout: LONG });
    const fresh = new SlidingClient(t.refresh(old.client), dialect);
    const keys = { connId: "encryption", ext: { to_device: { enabled: true }, e2ee: { enabled: true } } };
    const [one, two] = await Promise.all([old.request(keys), fresh.request({ ...keys, connId: "other" })]);
    expect([one.status, two.status]).toEqual([200, 200]);
    const message = ev.message(ALICE);
    await room.deliver({ timeline: [message] });
    const told = old.read(await rooms.reply);
    expect(timelineIds(told.rooms[room.id])).toEqual([message.event_id]);
    t.hs.revoke(old.client.token);
    await t.hs.waitForPoll(fresh.client.token);
    const later = ev.message(ALICE);
    await t.deliver(fresh.client, v2({ join: { [room.id]: { timeline: [later] } } }));
    expect(timelineIds((await fresh.sync(all(), { pos: told.pos })).rooms[room.id])).toEqual([later.event_id]);
  });

  it("M38: one's own membership comes with $ME, by name and with a call's state, whoever wrote last (matrix-workers #16)", async () => {
    const call = ev.state("org.matrix.msc3401.call.member", "_PHONE", ALICE, {});
    const asked = (key: string) => ({ limit: 1, state: [["m.room.member", key] as const, ["org.matrix.msc3401.call.member", "*"] as const] });
    const room = await follow(t, dialect, { state: [call], parts: { timeline: messages(3) } });
    for (const key of ["$ME", room.me]) {
      const told = (await room.client.sync({ connId: key, subs: { [room.id]: asked(key) } })).rooms[room.id];
      expect(membersTold(told)).toEqual([`${room.me}: join`]);
      expect(stateEvent(told, "org.matrix.msc3401.call.member", "_PHONE")).toMatchObject({ event_id: call.event_id });
    }
  });
});
