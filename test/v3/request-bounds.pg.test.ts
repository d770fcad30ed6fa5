/** The bounds of a request (N10), tested at a server. src/v3/param-bounds.test.ts tests each of them. */

import { afterEach, describe, expect, it } from "vitest";
import { requestBounds, scaleRequestBounds } from "../../src/wire/request-bounds.ts";
import { ev, type Json, newRoom, type RoomParts, v2 } from "../support/fake-homeserver.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const ALICE = "@alice:test";
const t = v3Server();
afterEach(() => scaleRequestBounds(1));

let count = 0;
/** A new user in this many rooms. */
function user(rooms: number): V3Client {
  count += 1;
  const parts = (): RoomParts => ({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
  const joined = Array.from({ length: rooms }, (_, n) => [`!r${n}of${count}:test`, parts()] as const);
  return t.login(`@me${count}:test`, "PHONE", v2({ join: Object.fromEntries(joined) }));
}
const pairs = (prefix: string, many: number) => Array.from({ length: many }, (_, n) => [`${prefix}${n}`, ""]);
const refusal = async (client: V3Client, body: Json, since: string) => {
  const reply = await client.fetch("POST", `/_matrix/client/v3/sync?since=${encodeURIComponent(since)}`, JSON.stringify(body));
  return { status: reply.status, body: reply.body };
};

describe("bounds of a session's parameters", () => {
  it("N10: reached by several requests: a 400 that names them, and the session continues as it was", async () => {
    scaleRequestBounds(0.1);
    const client = user(1);
    const most = requestBounds().parameterCharacters;
    const first = await client.sync({ room: { types: ["x".repeat(most * 0.6)] } });
    const refused = await refusal(client, { room_list: { spaces: ["y".repeat(most * 0.6)] } }, first.next);
    expect([refused.status, refused.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    expect(refused.body["error"]).toContain(`at most ${most} characters`);
    const pair = await refusal(client, { room_list: { state_events: pairs("t", requestBounds().statePairs + 1) } }, first.next);
    expect(pair.body["error"]).toBe(`room_list.state_events: at most ${requestBounds().statePairs} entries`);
    const next = await client.sync({ room_list: { state_events: pairs("t", requestBounds().statePairs) } }, { since: first.next });
    expect(next["room_list"].rooms).toHaveLength(1);
  });

  it("N10: ever new state_events, one after the other, are worked with", async () => {
    const client = user(2);
    let { next } = await client.sync({ room_list: {} });
    for (let n = 0; n < 5; n += 1) {
      const answer = await client.sync({ room_list: { state_events: [...pairs(`${n}.`, 499), ["m.room.create", ""]] } }, { since: next });
      expect(answer["room_list"].rooms.map((one: Json) => (one["state_events"] as Json[]).map(({ type }) => type).includes("m.room.create"))).toEqual(
        [true, true],
      );
      ({ next } = answer);
    }
  });
});

describe("rooms that start in the room stream", () => {
  it("N10: so many in one answer; the next ones have the others, each once", async () => {
    scaleRequestBounds(0.01);
    expect(requestBounds().startingRooms).toBe(2);
    const client = user(5);
    const told: string[][] = [];
    const body = { room_list: {}, room: { room_id: "room_list", state: [["m.room.create", ""]], timeline_limit: 1 } };
    let answer = await client.sync(body);
    for (let n = 0; n < 3; n += 1) {
      const rooms = (answer["room"] as { rooms: Record<string, { initial?: boolean }> }).rooms;
      expect(Object.values(rooms).every(({ initial }) => initial === true)).toBe(true);
      told.push(Object.keys(rooms));
      answer = await client.sync({}, { since: answer.next, timeout: n < 2 ? 20_000 : 0 });
    }
    expect(told.map((rooms) => rooms.length)).toEqual([2, 2, 1]);
    expect(new Set(told.flat()).size).toBe(5);
    expect(answer["room"]).toBeUndefined();
  });
});
