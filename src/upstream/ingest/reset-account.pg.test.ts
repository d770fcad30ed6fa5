import { describe, expect, test } from "vitest";

import { ev, newRoom, typing } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";
import { resetAccount } from "./reset-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

describe("D26: the upstream since is lost", () => {
  test("sessions end; the next response has full rooms, with a gap; rooms and invites that are missing from it are lost", async () => {
    const first = newRoom(me.me);
    const topic = ev.topic(me.me, "gone");
    const invite = [ev.member(me.me, "invite", {}, { sender: BOB })];
    await me.step({
      join: { [ROOM]: { timeline: [...first, topic, ev.member(BOB)] }, "!b:test": { timeline: newRoom(me.me), ephemeral: [typing(BOB)] } },
      invite: { "!c:test": invite },
      leave: { "!d:test": { timeline: [ev.member(me.me, "ban", {}, { sender: BOB })] } },
    });
    await me.sql`insert into sessions ${me.sql({ account: me.account, device: me.device, kind: "v3" })}`;
    const position = await me.position();
    await resetAccount(me.sql, me.account, me.device);
    expect(await me.sql`select from sessions where account = ${me.account}`).toHaveLength(0);
    expect(await me.position()).toBe(position);
    me.since = null;
    const message = ev.message(BOB);
    await me.step({ join: { [ROOM]: { state: first, timeline: [message], prev_batch: "p", limited: true } } });
    expect((await me.timeline(ROOM)).at(-1)).toMatchObject({ id: message.event_id, gap: true, prev_batch: "p" });
    expect(Object.values(await me.state(ROOM))).not.toContain(topic.event_id);
    expect((await me.state(ROOM, position))["m.room.topic|"]).toBe(topic.event_id);
    expect(await me.memberships(ROOM)).toEqual({ [me.me]: "join" });
    const memberships = [];
    for (const room of [ROOM, "!b:test", "!c:test", "!d:test"]) memberships.push((await me.facts(room)).membership);
    expect(memberships).toEqual(["join", "leave", "leave", "ban"]);
    const [gone] = await me.sql`select i.gone, t.users from invites i join typing t using (account) where account = ${me.account}`;
    expect(gone).toEqual({ gone: true, users: "[]" });
  });

  test("a timeline that reaches back to stored events causes no gap, no duplicates and no older state", async () => {
    const first = newRoom(me.me);
    const [one, two] = [ev.topic(me.me, "1"), ev.topic(me.me, "2")];
    await me.step({ join: { [ROOM]: { timeline: [...first, one, two] } } });
    await resetAccount(me.sql, me.account, me.device);
    me.since = null;
    const next = ev.message(BOB);
    await me.step({ join: { [ROOM]: { limited: true, prev_batch: "p", state: [...first, one], timeline: [two, next] } } });
    expect((await me.ids(ROOM)).slice(4)).toEqual([one.event_id, two.event_id, next.event_id]);
    expect((await me.timeline(ROOM)).at(-1)?.gap).toBe(false);
    expect((await me.state(ROOM))["m.room.topic|"]).toBe(two.event_id);
  });
});
