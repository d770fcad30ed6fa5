/** Positions as tokens of the homeserver's own API. */

import { beforeAll, describe, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();
beforeAll(() => {
  for (const path of ["v3/rooms/:room/messages", "v1/rooms/:room/relations/:event", "v1/rooms/:room/relations/:event/:type", "v3/keys/changes"]) {
    t.hs.on("GET", `/_matrix/client/${path}`, (request) => ({ body: Object.fromEntries(request.query) }));
  }
});

let count = 0;

describe.each(DIALECTS)("upstream tokens (%s)", (dialect) => {
  /** A user with two positions, and the homeserver's tokens of both moments. */
  async function twoPositions() {
    count += 1;
    const [me, room] = [`@token${count}:test`, `!token${count}:test`];
    const [early, late] = [`early_${count} +&`, `late_${count}`];
    const client = t.login(me, "PHONE", v2({ next_batch: early, join: { [room]: { state: newRoom(me) } } }));
    const phone = new SlidingClient(client, dialect);
    const first = await phone.sync(ALL);
    await t.deliver(client, v2({ next_batch: late, join: { [room]: { timeline: [ev.message("@bob:test")] } } }));
    const second = await phone.sync(ALL, { pos: first.pos });
    return { me, room, client, phone, early, late, first: first.pos, second: second.pos };
  }

  it("M57: a position works as a token in /messages, /relations and /keys/changes, for the moment when it was given", async () => {
    const { client, room, early, late, first, second } = await twoPositions();
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages`;
    expect((await client.fetch("GET", `${path}?dir=b&from=${second}&limit=5`)).body).toEqual({ dir: "b", from: late, limit: "5" });
    expect((await client.fetch("GET", `${path}?from=${first}&to=${second}&dir=f`)).body).toEqual({ from: early, to: late, dir: "f" });
    const relations = `/_matrix/client/v1/rooms/${encodeURIComponent(room)}/relations/%24e1`;
    for (const more of ["", "/m.thread"]) expect((await client.fetch("GET", `${relations}${more}?from=${first}`)).body).toEqual({ from: early });
    expect((await client.fetch("GET", `/_matrix/client/v3/keys/changes?from=${first}&to=${second}`)).body).toEqual({ from: early, to: late });
  });

  it("M57: the homeserver's own tokens pass as they are", async () => {
    const { client, room } = await twoPositions();
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages`;
    for (const token of ["s58_224", "t1-2_3", ""]) expect((await client.fetch("GET", `${path}?from=${token}`)).body).toEqual({ from: token });
  });

  it("M57: a position whose connection has ended or was started from scratch works as a token too", async () => {
    const { client, phone, room, early, late, first, second } = await twoPositions();
    await phone.sync(ALL);
    await t.sql`delete from sessions`;
    await t.restart();
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages`;
    expect((await client.fetch("GET", `${path}?from=${first}&to=${second}`)).body).toEqual({ from: early, to: late });
  });

  it("M57: another device of the account may use it, as it may its homeserver's tokens", async () => {
    const { me, early, first } = await twoPositions();
    const tablet = t.login(me, "TABLET");
    await new SlidingClient(tablet, dialect).sync();
    expect((await tablet.fetch("GET", `/_matrix/client/v3/keys/changes?from=${first}`)).body).toEqual({ from: early });
  });

  it("M57 M62: another user's position, and a forged one, reveal nothing of their moment", async () => {
    const { early, late, first, second } = await twoPositions();
    const eve = await twoPositions();
    for (const pos of [first, second, `${first.slice(0, -2)}AA`, "syncv3_AAAA"]) {
      const { text } = await eve.client.fetch("GET", `/_matrix/client/v3/keys/changes?from=${pos}`);
      expect([text.includes(early.slice(0, 8)), text.includes(late)]).toEqual([false, false]);
    }
  });

  it("M57 M34: prev_batch is the homeserver's own, and paginates through here", async () => {
    const { client, room, phone } = await twoPositions();
    const messages = [ev.message("@bob:test"), ev.message("@bob:test")];
    await t.deliver(client, v2({ join: { [room]: { timeline: messages, prev_batch: "t-before", limited: true } } }));
    const { rooms } = await phone.sync({ subs: { [room]: { limit: 2 } } });
    expect(rooms[room]).toMatchObject({ prev_batch: "t-before", limited: true });
  });
});
