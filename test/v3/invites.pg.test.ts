import { expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const ROOM = "!a:test";
const stripped = (type: string, stateKey: string, content: Json, sender = BOB): Json => ({ type, state_key: stateKey, sender, content });
const invited = (user: string, name = "Room", sender = BOB): Json[] => [
  stripped("m.room.name", "", { name }, sender),
  stripped("m.room.member", user, { membership: "invite" }, sender),
];
const knocked = (user: string): Json[] => [stripped("m.room.member", user, { membership: "knock" }, user)];

it("TestStuckInvites I6: an invite is sent with its stripped state, once, and still pending after a restart", async () => {
  const user = t.login("@invited:test");
  const first = await user.sync({ invites: {} });
  expect(first["invites"], "present although empty (D8)").toEqual({ rooms: {} });
  const events = invited(user.userId);
  await t.deliver(user, v2({ invite: { [ROOM]: events } }));
  const second = await user.sync({}, { since: first.next });
  expect(second["invites"]).toEqual({ rooms: { [ROOM]: { invite_state: { events } } } });
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
  await t.restart();
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
  expect((await user.sync({ invites: {} }))["invites"].rooms).toEqual({ [ROOM]: { invite_state: { events } } });
});

it("invites: accepted, refused or withdrawn ones are gone, and a first answer does not contain them", async () => {
  const user = t.login("@answers:test");
  const first = await user.sync({ invites: {} });
  await t.deliver(user, v2({ invite: { "!1:test": invited(user.userId), "!2:test": invited(user.userId), "!3:test": invited(user.userId) } }));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second["invites"].rooms)).toHaveLength(3);
  await t.deliver(user, v2({ join: { "!1:test": { state: newRoom(BOB), timeline: [ev.member(user.userId)] } } }));
  const third = await user.sync({}, { since: second.next });
  expect(third["invites"]).toEqual({ gone: ["!1:test"] });
  await t.deliver(
    user,
    v2({
      leave: {
        "!2:test": { timeline: [ev.member(user.userId, "leave")] },
        "!3:test": { timeline: [ev.member(user.userId, "leave", {}, { sender: BOB })] },
      },
    }),
  );
  const fourth = await user.sync({}, { since: third.next });
  expect(fourth["invites"].gone.toSorted()).toEqual(["!2:test", "!3:test"]);
  expect((await user.sync({ invites: {} }))["invites"]).toEqual({ rooms: {} });
});

it("invites: again after a refusal, and with another state: sent again", async () => {
  const user = t.login("@again:test");
  const first = await user.sync({ invites: {} });
  await t.deliver(user, v2({ invite: { [ROOM]: invited(user.userId, "One") } }));
  const second = await user.sync({}, { since: first.next });
  await t.deliver(user, v2({ invite: { [ROOM]: invited(user.userId, "Two") } }));
  const third = await user.sync({}, { since: second.next });
  expect(third["invites"]).toEqual({ rooms: { [ROOM]: { invite_state: { events: invited(user.userId, "Two") } } } });
  await t.deliver(
    user,
    v2({ leave: { [ROOM]: { timeline: [ev.member(user.userId, "leave")] } } }),
    v2({ invite: { [ROOM]: invited(user.userId, "Three") } }),
  );
  const fourth = await user.sync({}, { since: third.next });
  expect(fourth["invites"]).toEqual({ rooms: { [ROOM]: { invite_state: { events: invited(user.userId, "Three") } } } });
});

it("invites: knocks come as knock_state; let in by an invite they become one", async () => {
  const user = t.login("@knocks:test");
  const first = await user.sync({ invites: {} });
  await t.deliver(user, v2({ knock: { [ROOM]: knocked(user.userId), "!other:test": knocked(user.userId) } }));
  const second = await user.sync({}, { since: first.next });
  expect(second["invites"].rooms[ROOM]).toEqual({ knock_state: { events: knocked(user.userId) } });
  await t.deliver(
    user,
    v2({ invite: { [ROOM]: invited(user.userId) }, leave: { "!other:test": { timeline: [ev.member(user.userId, "leave", {}, { sender: BOB })] } } }),
  );
  const third = await user.sync({}, { since: second.next });
  expect(third["invites"]).toEqual({ rooms: { [ROOM]: { invite_state: { events: invited(user.userId) } } }, gone: ["!other:test"] });
});

it("invites D7 I9: they wake; nothing else does", async () => {
  const user = t.login("@wake:test", "PHONE", v2({ join: { "!j:test": { state: newRoom(BOB) } } }));
  const first = await user.sync({ invites: {} });
  const waiting = user.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(user, v2({ join: { "!j:test": { timeline: [ev.message(BOB)] } } }), v2({ account_data: [{ type: "m.x", content: {} }] }));
  await t.deliver(user, v2({ invite: { [ROOM]: invited(user.userId) } }));
  expect(Object.keys((await waiting)["invites"].rooms)).toEqual([ROOM]);
});

it("D25 I11: an invite whose sender is ignored after it was sent is gone, and that ends a wait", async () => {
  const user = t.login("@tired:test");
  const first = await user.sync({ invites: {} });
  await t.deliver(user, v2({ invite: { "!1:test": invited(user.userId), "!2:test": invited(user.userId, "Room", "@carol:test") } }));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second["invites"].rooms)).toHaveLength(2);
  const waiting = user.sync({}, { since: second.next, timeout: 60_000 });
  const ignored = { type: "m.ignored_user_list", content: { ignored_users: { [BOB]: {} } } };
  await t.deliver(user, v2({ account_data: [ignored] }));
  const third = await waiting;
  expect(third["invites"]).toEqual({ gone: ["!1:test"] });
  await t.deliver(user, v2({ account_data: [{ type: "test.other", content: {} }] }));
  expect(Object.keys(await user.sync({}, { since: third.next }))).toEqual(["next"]);
});

it("D25: invites by ignored users are not sent", async () => {
  const ignore = (...users: string[]) => ({
    type: "m.ignored_user_list",
    content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) },
  });
  const user = t.login("@ignores:test", "PHONE", v2({ account_data: [ignore(BOB)] }));
  const first = await user.sync({ invites: {} });
  await t.deliver(user, v2({ invite: { [ROOM]: invited(user.userId), "!c:test": invited(user.userId, "C", "@charlie:test") } }));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second["invites"].rooms)).toEqual(["!c:test"]);
  // The fake homeserver's answer without since, which has no invites, is not asked for twice in an hour.
  await t.sql`update accounts set invites_asked_at = now() where user_id = ${user.userId}`;
  await t.deliver(user, v2({ account_data: [ignore()] }));
  // No longer ignored: R11.
  await expect.poll(async () => (await user.request({}, { since: second.next })).status).toBe(400);
  expect(Object.keys((await user.sync({ invites: {} }))["invites"].rooms).toSorted()).toEqual([ROOM, "!c:test"]);
});
