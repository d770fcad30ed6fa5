/** A new large account: single rooms are sent while its homeserver prepares the first v2 response. */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { type Ask, DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, LONG } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const [BOB, SPAMMER] = ["@bob:test", "@spammer:test"];
const JOINED = 300;
let count = 0;

type Room = { readonly state: MatrixEvent[]; readonly timeline: MatrixEvent[] };

/** A user in many rooms, the later ones more active, whose homeserver holds back the first v2 response until `answer` is called. */
class LargeAccount {
  readonly me = `@large${(count += 1)}:test`;
  readonly token = t.hs.login(this.me, "PHONE");
  readonly client = t.clientOf(this.me, "PHONE", this.token);
  readonly ids = Array.from({ length: JOINED }, (_, i) => `!${count}n${i}:test`);
  readonly rooms = new Map<string, Room>(this.ids.map((id, i) => [id, this.#room(i)]));

  constructor(data: Json) {
    t.hs.holdSync(this.token);
    const own = (path: string, body: (params: Readonly<Record<string, string>>) => Json | Json[] | null) =>
      t.hs.on("GET", `/_matrix/client/v3${path}`, ({ params }) => {
        const found = body(params);
        return found ? { body: found } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "Not found" } };
      });
    own("/joined_rooms", () => ({ joined_rooms: this.ids }));
    own(`/user/${encodeURIComponent(this.me)}/account_data/:type`, ({ type = "" }) => (data[type] as Json | undefined) ?? null);
    own("/rooms/:room/state", ({ room = "" }) => {
      const { state = [], timeline = [] } = this.rooms.get(room) ?? {};
      return [...state, ...timeline.filter((event) => event.state_key !== undefined)];
    });
    own("/rooms/:room/messages", ({ room = "" }) => ({ chunk: [...(this.rooms.get(room)?.timeline ?? [])].reverse(), start: "s", end: "older" }));
  }

  answer(extra: Json = {}): void {
    const join = Object.fromEntries(
      [...this.rooms].map(([id, { state, timeline }]) => {
        const limited = timeline.slice(-20);
        return [id, { state, timeline: limited, limited: true, prev_batch: "p", summary: { "m.joined_member_count": 2 } }];
      }),
    );
    t.hs.queueSync(this.token, v2({ join, ...extra }));
    t.hs.holdSync(this.token, false);
  }

  send(room: string, event = ev.message(BOB)): MatrixEvent {
    this.rooms.get(room)?.timeline.push(event);
    return event;
  }

  #room(i: number): Room {
    const at = (n: number) => ({ origin_server_ts: 1_700_000_000_000 + i * 1000 + n });
    const state = [...newRoom(this.me), ev.member(BOB), ev.name(BOB, `Room ${i}`)];
    return { state, timeline: [0, 1].map((n) => ev.message(i % 7 === 6 && n === 1 ? SPAMMER : BOB, "x", at(n))) };
  }
}

describe.each(DIALECTS)("rooms sent early (%s)", (dialect) => {
  const RECENT = "im.vector.setting.breadcrumbs";
  /** A list of all rooms from the first to this one. */
  const window = (to: number): Ask => ({ lists: { all: { ranges: [[0, to]], limit: 5, state: [["m.room.name", ""]] } } });

  /** Rooms that had been requested when the twentieth arrived are sent as well. */
  const expectAbout20 = ({ length }: readonly string[]): void => {
    expect(length).toBeGreaterThanOrEqual(20);
    expect(length).toBeLessThan(25);
  };

  it("M58 M3: the first answer has the rooms that were visited last, and counts all; the others come with the first v2 response", async () => {
    const direct = (id: string) => ({ [BOB]: [id] });
    const visited = [7, 250, 3];
    const prefix = count + 1;
    const account = new LargeAccount({
      [RECENT]: { recent_rooms: [...visited.map((i) => `!${prefix}n${i}:test`), "!left:test"] },
      "m.direct": direct(`!${prefix}n100:test`),
    });
    const phone = new SlidingClient(account.client, dialect);
    const first = await phone.sync(window(49));
    const told = Object.keys(first.rooms);
    expectAbout20(told);
    for (const i of [...visited, 100]) expect(told).toContain(account.ids[i]);
    expect(first.lists["all"]?.count).toBe(JOINED);
    const seven = account.ids[7] ?? "";
    expect([first.rooms[seven]?.["name"], timelineIds(first.rooms[seven])]).toEqual([
      "Room 7",
      account.rooms.get(seven)?.timeline.map((event) => event.event_id),
    ]);
    // What happens meanwhile is sent once, with the other rooms.
    const message = account.send(seven);
    const waiting = phone.sync(window(49), { pos: first.pos, timeout: LONG });
    await t.hs.waitForRequest({ path: /\/sync$/, token: account.token });
    account.answer();
    const second = await waiting;
    expect(second.lists["all"]?.count).toBe(JOINED);
    expect(timelineIds(second.rooms[seven])).toEqual([message.event_id]);
    expect(second.rooms[seven]?.["initial"]).not.toBe(true);
    const others = Object.entries(second.rooms).filter(([id]) => !told.includes(id));
    expect(others.every(([, room]) => room["initial"] === true)).toBe(true);
    // From now on the rooms are ordered by activity, and those of the first window are the newest.
    expect(new Set([...Object.keys(second.rooms), ...told])).toEqual(new Set([...account.ids.slice(-49), seven, ...told]));
  });

  it("M58: rooms sent early, with what follows, are what a later connection is sent", async () => {
    const account = new LargeAccount({});
    const phone = new SlidingClient(account.client, dialect);
    const all = window(JOINED - 1);
    const first = await phone.sync(all);
    const [gone = "", ...rest] = Object.keys(first.rooms);
    account.rooms.delete(gone);
    for (const id of rest.slice(0, 3)) account.send(id, ev.name(BOB, "Renamed"));
    const waiting = phone.sync(all, { pos: first.pos, timeout: LONG });
    await t.hs.waitForRequest({ path: /\/sync$/, token: account.token });
    account.answer();
    const second = await waiting;
    const fresh = await new SlidingClient(account.client, dialect).sync({ ...all, connId: "other" });
    expect(fresh.lists["all"]?.count).toBe(JOINED - 1);
    for (const [id, room] of Object.entries(fresh.rooms)) {
      const [early, late] = [first.rooms[id], second.rooms[id]];
      expect([...(timelineIds(early) ?? []), ...(timelineIds(late) ?? [])]).toEqual(timelineIds(room));
      expect(late?.["name"] ?? early?.["name"]).toBe(room["name"]);
      expect(late?.["bump_stamp"] ?? early?.["bump_stamp"]).toBe(room["bump_stamp"]);
    }
  });

  it("M62: nothing of an ignored user is sent early", async () => {
    const account = new LargeAccount({ "m.ignored_user_list": { ignored_users: { [SPAMMER]: {} } } });
    const first = await new SlidingClient(account.client, dialect).sync(ALL);
    expect(Object.keys(first.rooms).length).toBeGreaterThan(6);
    expect(JSON.stringify(first.rooms)).not.toContain(SPAMMER);
  });

  it("M58: rooms that cannot be fetched are skipped, and if there are none the first v2 response is awaited", async () => {
    const account = new LargeAccount({});
    const phone = new SlidingClient(account.client, dialect);
    t.hs.fail({ path: /\/state$/ }, { status: 500, body: {} }, 10);
    const first = await phone.sync(window(49));
    expectAbout20(Object.keys(first.rooms));
    const other = new LargeAccount({});
    t.hs.fail({ path: /\/messages$/ }, { status: 500, body: {} }, 1000);
    const waiting = new SlidingClient(other.client, dialect).sync(window(49));
    await t.hs.waitForRequest({ path: /\/sync$/, token: other.token });
    t.hs.heal();
    other.answer();
    expect(Object.keys((await waiting).rooms)).toHaveLength(50);
  });
});
