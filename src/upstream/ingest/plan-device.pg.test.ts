import { describe, expect, test } from "vitest";

import { newRoom, toDevice } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";
import { noteKeyUpload } from "../../store/key-uploads.ts";
import { messageHash } from "./plan-device.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

type StoredMessage = { seq: number; before_pos: number; body: string };

async function queue(): Promise<StoredMessage[]> {
  return [...(await me.sql<StoredMessage[]>`select seq, before_pos, body from to_device where device = ${me.device} order by seq`)];
}
const raw =
  (...messages: string[]) =>
  (next: string) =>
    `{"next_batch":"${next}","to_device":{"events":[${messages.join(",")}]}}`;
const text = (n: number) => `{"type":"t","sender":"${BOB}","content":{"n":${n}}}`;

describe("to-device messages", () => {
  test("TestToDeviceTableBytesInEqualBytesOut, TestExtensionToDeviceSequence: bytes and order, consecutive numbers, the position before (B7, D19)", async () => {
    const one = '{"type":"t","zzz":1.0, "sender":"@bob:test","content":{"b":1,"a":20000000000000000000,"\\u0000":"\\ud800"}}';
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } } });
    await me.feed(raw(one, text(2))("n2"));
    await me.feed(raw(text(2))("n3"));
    expect(await queue()).toEqual([
      { seq: 1, before_pos: 5, body: one },
      { seq: 2, before_pos: 5, body: text(2) },
      { seq: 3, before_pos: 5, body: text(2) },
    ]);
  });

  test("before_pos is the position before the room events they came with", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me) } }, to_device: [toDevice(BOB)] });
    expect((await queue())[0]?.before_pos).toBe(0);
  });

  test("D1: a message that a passed answer brought is dropped as often as it was passed", async () => {
    const hash = Buffer.from(messageHash(text(1)), "hex");
    await me.sql`insert into to_device_passed (device, hash, times) values (${me.device}, ${hash}, 1)`;
    await me.feed(raw(text(1), text(1), text(2))("n1"));
    expect((await queue()).map((row) => row.body)).toEqual([text(1), text(2)]);
    const [row] = await me.sql`select times from to_device_passed where device = ${me.device}`;
    expect(row).toEqual({ times: 0 });
    await me.feed(raw(text(1))("n2"));
    expect(await queue()).toHaveLength(3);
  });

  test("overlap: each stored copy drops one; without overlap none does", async () => {
    await me.feed(raw(text(1), text(1), text(2))("n1"));
    await me.feed(raw(text(1), text(1), text(1), text(3))("n2"), { overlap: true });
    expect((await queue()).map((row) => row.body)).toEqual([text(1), text(1), text(2), text(1), text(3)]);
    await me.feed(raw(text(3))("n3"));
    expect(await queue()).toHaveLength(6);
  });

  test("overlap and passed: the copy in the queue that was passed accounts for one message only", async () => {
    await me.sql`insert into to_device ${me.sql({ device: me.device, seq: 1, before_pos: 0, body: text(1), hash: Buffer.from(messageHash(text(1)), "hex") })}`;
    await me.sql`update devices set seq = 1 where device = ${me.device}`;
    await me.sql`insert into to_device_passed (device, hash, times) values (${me.device}, ${Buffer.from(messageHash(text(1)), "hex")}, 1)`;
    await me.feed(raw(text(1), text(1))("n1"), { overlap: true });
    expect((await queue()).map((row) => row.seq)).toEqual([1, 2]);
  });
});

describe("device lists and key counts", () => {
  const device = async () => {
    const [row] = await me.sql`select seq, one_time_keys, fallback_keys, counts_seq from devices where device = ${me.device}`;
    return row && { ...row };
  };

  test("the latest change of each user is stored, with a number of its own; changed wins over left in one response", async () => {
    await me.step({ device_lists: { changed: [BOB, "@eve:test"], left: ["@dan:test"] } });
    await me.step({ device_lists: { changed: ["@dan:test"], left: [BOB, "@dan:test"] } });
    const rows = await me.sql`select user_id, kind, seq from device_lists where device = ${me.device} order by user_id`;
    expect(rows.map((row) => [row["user_id"], row["kind"]])).toEqual([
      [BOB, "left"],
      ["@dan:test", "changed"],
      ["@eve:test", "changed"],
    ]);
    const seqs = rows.map((row) => Number(row["seq"]));
    expect(new Set(seqs).size).toBe(3);
    expect(Math.max(...seqs)).toBe(5);
    expect(await device()).toMatchObject({ seq: 5, counts_seq: 0 });
  });

  test("only different counts are a change, and fallback key types that are absent stay", async () => {
    await me.step({ one_time_keys: { signed_curve25519: 50 }, fallback_keys: [] });
    const first = { seq: 1, one_time_keys: '{"signed_curve25519":50}', fallback_keys: "[]", counts_seq: 1 };
    expect(await device()).toEqual(first);
    await me.step({ one_time_keys: { signed_curve25519: 50 } });
    expect(await device()).toEqual(first);
    await me.step({ one_time_keys: { signed_curve25519: 50 }, fallback_keys: ["signed_curve25519"] });
    expect(await device()).toEqual({ ...first, seq: 2, fallback_keys: '["signed_curve25519"]', counts_seq: 2 });
  });

  test.each([
    ["absent", {}],
    ["empty", { one_time_keys: {} }],
  ])("T12: %s counts are counts of 0, for each algorithm that there was, once", async (_, none) => {
    await me.step({ one_time_keys: { signed_curve25519: 50, curve25519: 0 } });
    await me.step(none);
    const used = { seq: 2, one_time_keys: '{"signed_curve25519":0,"curve25519":0}', counts_seq: 2 };
    expect(await device()).toMatchObject(used);
    await me.step(none);
    expect(await device(), "and then nothing changes").toMatchObject(used);
    await me.step({ one_time_keys: { curve25519: 3 } });
    expect(await device()).toMatchObject({ seq: 3, one_time_keys: '{"curve25519":3,"signed_curve25519":0}' });
  });

  test("T12: unreadable counts are not taken for absent ones, and no counts are invented if there never were any", async () => {
    await me.step({});
    expect(await device()).toMatchObject({ seq: 0, one_time_keys: "{}", counts_seq: 0 });
    await me.step({ one_time_keys: { signed_curve25519: 50 } });
    await me.feed('{"next_batch":"n3","device_one_time_keys_count":[1]}');
    expect(await device()).toMatchObject({ seq: 1, one_time_keys: '{"signed_curve25519":50}' });
  });

  test("T11: counts from a poll that was sent before an upload was answered change nothing; the next poll's do", async () => {
    await me.step({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [] });
    const keys = { counts: { signed_curve25519: 50 }, fallbackTypes: ["signed_curve25519"] };
    await noteKeyUpload(me.sql, me.device, keys);
    const uploaded = { one_time_keys: '{"signed_curve25519":50}', fallback_keys: '["signed_curve25519"]', seq: 2, counts_seq: 2 };
    expect(await device()).toEqual(uploaded);
    const old = await me.feed({ one_time_keys: { signed_curve25519: 0 }, fallback_keys: [], device_lists: { changed: [BOB] } }, { keyUploads: 0 });
    expect(old).toMatchObject({ kind: "stored", countsAreOld: true });
    expect(await device(), "all else of it is stored").toEqual({ ...uploaded, seq: 3 });
    const next = await me.feed({ one_time_keys: { signed_curve25519: 49 }, fallback_keys: [] }, { keyUploads: 1 });
    expect(next).toMatchObject({ kind: "stored", countsAreOld: false });
    expect(await device()).toMatchObject({ one_time_keys: '{"signed_curve25519":49}', fallback_keys: "[]", counts_seq: 4 });
  });

  test("T11: equal counts are not a change, but older polls are out of date nevertheless", async () => {
    await me.step({ one_time_keys: { signed_curve25519: 50 }, fallback_keys: ["signed_curve25519"] });
    const before = await device();
    await noteKeyUpload(me.sql, me.device, { counts: { signed_curve25519: 50 }, fallbackTypes: ["signed_curve25519"] });
    expect(await device()).toEqual(before);
    expect(await me.feed({}, { keyUploads: 0 })).toMatchObject({ countsAreOld: true });
    expect(await device()).toEqual(before);
  });
});
