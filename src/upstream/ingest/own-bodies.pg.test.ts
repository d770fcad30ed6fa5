import { beforeEach, expect, test } from "vitest";

import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import { ev, type Json, type MatrixEvent, newRoom } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { deleteAccount } from "../../store/devices.ts";
import { writeTx } from "../../store/db.ts";
import { forgetRoom } from "../../store/forget.ts";
import { deleteUnreferenced } from "../../store/retention/events.ts";
import { readTimelines } from "../../store/timeline.ts";
import type { EventId, Position, RoomId } from "../../wire/ids.ts";

const BOB = "@bob:test";
let rooms = 0;
let room: RoomId;
let one: TestAccount;
let other: TestAccount;

eachWithAccount((account) => {
  one = account;
});
beforeEach(async () => {
  room = `!room${(rooms += 1)}:test` as RoomId;
  other = await TestAccount.create(one.sql, `@other${rooms}:test`);
});

const join = (account: TestAccount, ...timeline: Json[]) => account.step({ join: { [room]: { state: newRoom(account.me), timeline } } });
const get = (account: TestAccount, ...timeline: Json[]) => account.step({ join: { [room]: { timeline } } });
/** An erased sender's event, as whoever came later is shown it. */
const erased = (event: MatrixEvent): MatrixEvent => ({ ...event, content: {} });
const copies = () => one.sql`select account, event_id, body from own_events where room_id = ${room} order by account`;

async function shown(account: TestAccount, event: MatrixEvent): Promise<unknown> {
  const options = { to: (await account.position()) as Position, limit: 100, ignored: [] };
  const timelines = await readTimelines(account.sql, account.account, [{ roomId: room, after: 0, sentSince: null }], options);
  const body = timelines.get(room)?.events.find((row) => row.event_id === event.event_id)?.body;
  return body === undefined ? undefined : (JSON.parse(body) as MatrixEvent).content;
}

test("T6: an own copy is stored only for what differs in content, and is gone once v2 shows what others see", async () => {
  const [message, reply] = [ev.message(BOB, "secret"), ev.message(BOB)];
  await join(one, message, reply);
  await join(other, erased(message), Object.fromEntries(Object.entries(reply).toReversed()));
  expect((await copies()).map((row) => [row["account"], row["event_id"]])).toEqual([[other.account, message.event_id]]);
  await get(other, message, ev.message(BOB));
  expect([await shown(other, message), await copies()]).toEqual([message.content, []]);
});

test("T6: of two transactions that bring an event at the same time, neither account is shown the other's body", async () => {
  const message = ev.message(BOB);
  await join(one);
  const { sql } = one;
  const isWaiting = () => sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  const { promise: written, resolve: commit } = Promise.withResolvers<void>();
  const body = JSON.stringify(erased(message));
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const faster = writeTx(sql, async (tx) => {
    await tx`insert into events (event_id, type, sender, ts, body) values (${message.event_id}, ${message.type}, ${BOB}, 0, ${body})`;
    begin();
    await written;
  });
  await begun;
  const slower = get(one, message);
  await expect.poll(async () => (await isWaiting()).length).toBeGreaterThan(0);
  commit();
  await Promise.all([faster, slower]);
  expect(await shown(one, message)).toEqual(message.content);
  expect((await one.body(message.event_id)).body, "the shared one stays").toBe(body);
});

test("T6: what an account sees otherwise than others is not given to a third", async () => {
  const message = ev.message(BOB, "secret");
  await join(one, erased(message));
  await join(other, message);
  const third = await TestAccount.create(one.sql, `@third${rooms}:test`);
  await join(third, erased(message));
  expect([await shown(one, message), await shown(other, message), await shown(third, message)]).toEqual([{}, message.content, {}]);
  expect(await copies()).toHaveLength(1);
});

test("T6: a redaction deletes own copies, also one that reaches another account first", async () => {
  const message = ev.message(BOB, "secret");
  await join(one, message);
  await join(other, erased(message));
  const redaction = ev.redaction(BOB, message.event_id);
  await get(other, redaction);
  expect([await shown(one, message), await shown(other, message), await copies()]).toEqual([{}, {}, []]);
  await get(one, message, ev.message(BOB));
  expect([await shown(one, message), await copies()], "the full body does not come back").toEqual([{}, []]);
});

test("T6: a redaction in the batch that brings another body prunes the shared one", async () => {
  const message = ev.message(BOB, "secret");
  await join(one, message);
  await join(other, { ...message, content: { body: "other" } }, ev.redaction(BOB, message.event_id));
  expect([await shown(one, message), await shown(other, message), await copies()]).toEqual([{}, {}, []]);
  expect(JSON.stringify(await one.body(message.event_id))).not.toMatch(/secret|other/);
});

test("T6 D2: own copies are deleted with a forgotten room, with the account, and once nothing of the account shows them", async () => {
  const message = ev.message(BOB, "secret");
  const third = await TestAccount.create(one.sql, `@third${rooms}:test`);
  await join(one, erased(message));
  const all = [other, third, await TestAccount.create(one.sql, `@fourth${rooms}:test`)] as const;
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (const account of all) await join(account, message);
  expect(await copies()).toHaveLength(3);
  await forgetRoom(one.sql, all[0].account, room);
  await deleteAccount(one.sql, all[1].account);
  await one.sql`delete from timeline where account = ${all[2].account}`;
  expect((await copies()).map((row) => row["account"] as unknown)).toEqual([all[2].account]);
  await writeTx(one.sql, (tx) => deleteUnreferenced(tx, [message.event_id as EventId]));
  expect(await copies()).toEqual([]);
  expect(await shown(one, message)).toEqual({});
});

test("T6: the room's name and its members' names are what the account's own v2 shows", async () => {
  const [name, bob] = [ev.name(BOB, "secret"), ev.member(BOB, "join", { displayname: "Bob" })];
  await one.step({ join: { [room]: { state: [...newRoom(one.me), name, bob] } } });
  await other.step({
    join: { [room]: { state: [...newRoom(other.me), erased(name), { ...bob, content: { membership: "join" } }], summary: { "m.heroes": [BOB] } } },
  });
  expect([(await one.facts(room)).name, (await other.facts(room)).name]).toEqual(["secret", BOB]);
  // The next batch takes the hero's name from what is stored.
  await other.step({ join: { [room]: { timeline: [ev.message(BOB)], summary: { "m.heroes": [BOB], "m.joined_member_count": 2 } } } });
  expect((await other.facts(room)).name).toBe(BOB);
});
