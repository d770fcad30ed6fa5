/** The bounds of a request (N10), tested at a server. src/sliding/face/request-bounds.test.ts tests each of them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { requestBounds, scaleRequestBounds } from "../../src/wire/request-bounds.ts";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const BOB = "@bob:test";
const t = v3Server();
afterEach(() => scaleRequestBounds(1));

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "../recordings/sliding-requests.json"), "utf8")) as {
  client: string;
  body: Json;
}[];
const times = <T>(many: number, make: (index: number) => T): T[] => Array.from({ length: many }, (_, index) => make(index));
const tuples = (prefix: string, many: number) => times(many, (n) => [`${prefix}${n}`, ""]);

/** A client of an account in some rooms with topics. */
async function phoneIn(dialect: "unstable" | "v4", rooms: number) {
  const { client, me, room } = scene(t);
  const ids = times(rooms, (n) => `${room}${n}`);
  const parts = (n: number) => ({ state: [...newRoom(me), ev.topic(BOB, `topic ${n}`)], timeline: [ev.message(BOB)] });
  const phone = new SlidingClient(client, dialect);
  await phone.post({});
  await t.deliver(client, v2({ join: Object.fromEntries(ids.map((id, n) => [id, parts(n)])) }));
  return { phone, ids };
}

type Answered = { readonly pos: string; readonly rooms?: Record<string, { required_state?: { type: string }[] }> };
const answered = async (phone: SlidingClient, body: Json, pos?: string): Promise<Answered> => {
  const { status, body: answer } = await phone.post(body, pos === undefined ? {} : { pos });
  expect([status, answer["error"]]).toEqual([200, undefined]);
  return answer as unknown as Answered;
};
const typesIn = ({ rooms }: Answered, id: string) => rooms?.[id]?.required_state?.map(({ type }) => type) ?? [];

describe("bounds of a request", () => {
  it("N10: what clients were recorded to send is answered with a tenth of every bound, one after the other", async () => {
    scaleRequestBounds(0.1);
    const { phone } = await phoneIn("unstable", 3);
    const places = new Map<string, string>();
    expect(recorded.length).toBeGreaterThan(0);
    for (const { client, body } of [...recorded, ...recorded]) {
      const connection = `${client} ${String(body["conn_id"])}`;
      places.set(connection, (await answered(phone, body, places.get(connection))).pos);
    }
  });

  it("N10: ever new required_state on one connection is sent each time, and what is asked for again when it was forgotten", async () => {
    scaleRequestBounds(0.1);
    const { phone, ids } = await phoneIn("unstable", 2);
    const { stateEntries } = requestBounds();
    const list = (required_state: unknown) => ({ conn_id: "a", lists: { a: { ranges: [[0, 9]], timeline_limit: 0, required_state } } });
    const topic = ["m.room.topic", ""];
    let answer = await answered(phone, list([topic]));
    for (const id of ids) expect(typesIn(answer, id)).toEqual(["m.room.topic"]);
    for (let n = 0; n < 10; n += 1) answer = await answered(phone, list([["m.room.create", ""], ...tuples(`${n}.`, stateEntries - 1)]), answer.pos);
    // Asked for longer ago than is remembered.
    answer = await answered(phone, list([topic]), answer.pos);
    for (const id of ids) expect(typesIn(answer, id)).toEqual(["m.room.topic"]);
    answer = await answered(phone, list([topic]), answer.pos);
    for (const id of ids) expect(typesIn(answer, id)).toEqual([]);
  });

  it("N10: more configs than a connection may remember: rooms are sent once, and again only what was forgotten", async () => {
    scaleRequestBounds(0.01);
    const { phone, ids } = await phoneIn("unstable", 4);
    const [first = "", ...others] = ids;
    // Types of more than 255 bytes are remembered by their index keys.
    const long = (n: number) => Array.from({ length: 4 }, (_, i) => [`${n}.${i}.`.padEnd(250, "x"), "y".repeat(250)]);
    const subscribing = (id: string, n: number) => ({
      conn_id: "a",
      room_subscriptions: { [id]: { timeline_limit: 0, required_state: [["m.room.topic", ""], ...long(n)] } },
    });
    let answer = await answered(phone, subscribing(first, 0));
    expect(typesIn(answer, first)).toEqual(["m.room.topic"]);
    for (const [n, id] of [...others, ...others, ...others].entries()) answer = await answered(phone, subscribing(id, n + 1), answer.pos);
    answer = await answered(phone, subscribing(first, 99), answer.pos);
    expect(typesIn(answer, first)).toEqual(["m.room.topic"]);
    answer = await answered(phone, subscribing(first, 99), answer.pos);
    expect(answer.rooms ?? {}).toEqual({});
  });

  it("N10: more subscriptions than the bound: those sent longest ago end, and nothing is refused", async () => {
    scaleRequestBounds(2 / 10_000);
    const { phone, ids } = await phoneIn("unstable", 3);
    const [a = "", b = "", c = ""] = ids;
    const body = (...rooms: string[]) => ({ conn_id: "a", room_subscriptions: Object.fromEntries(rooms.map((id) => [id, { timeline_limit: 1 }])) });
    let answer = await answered(phone, body(b));
    answer = await answered(phone, body(a, b), answer.pos);
    expect(Object.keys(answer.rooms ?? {})).toEqual([a]);
    answer = await answered(phone, body(a, b, c), answer.pos);
    expect(Object.keys(answer.rooms ?? {})).toEqual([c]);
  });

  it("N10: many configs and many named members are sent as few are", async () => {
    const { phone, ids } = await phoneIn("v4", 20);
    const config = (n: number) => ({
      timeline_limit: 0,
      required_state: { include: [{ type: "m.room.topic" }, { type: `own.${n}` }, { type: "m.room.member", state_key: BOB }] },
    });
    const { rooms } = await answered(phone, { conn_id: "a", room_subscriptions: Object.fromEntries(ids.map((id, n) => [id, config(n)])) });
    for (const id of ids)
      expect(
        rooms?.[id]?.required_state?.map(({ type }) => type),
        id,
      ).toEqual(["m.room.topic"]);
  });
});
