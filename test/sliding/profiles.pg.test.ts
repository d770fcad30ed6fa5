/** The profiles extension (MSC4262), from the profiles of v2 (MSC4429). */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { asksForProfiles } from "../support/single-section-polls.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const [BOB, CAROL, DORA] = ["@bob:test", "@carol:test", "@dora:test"] as const;
const NAME = "org.matrix.msc4262.profiles";
type Profile = { readonly updated?: Json; readonly removed?: readonly string[] };
const usersOf = (answer: Answer) => (answer.extensions[NAME] as { users: Record<string, Profile | null> } | undefined)?.users;
const asking = (more: Json = {}): Json => ({ [NAME]: { enabled: true, ...more } });
const LAZY = [["m.room.member", "$LAZY"]] as const;
const lazily = (more: Json = {}): Ask => ({ lists: { all: { ranges: [[0, 99]], limit: 10, state: LAZY } }, ext: asking(more) });
const everybody = (more: Json = {}): Ask => ({ lists: { all: { ranges: [[0, 99]], limit: 10 } }, ext: asking(more) });

/** A user in a room with others, whose homeserver sends profiles; polls ask for these fields. */
async function withProfiles(dialect: DialectName, profiles: Json, fields: readonly string[] = ["displayname", "m.status"], named = true) {
  const one = scene(t, { others: [BOB, CAROL, DORA], state: named ? [ev.name(BOB, "named")] : [], timeline: [ev.message(BOB)] });
  t.hs.setProfiles(one.client.token, { [one.me]: { "m.status": "mine" }, ...profiles });
  const phone = new SlidingClient(one.client, dialect);
  await phone.sync({ connId: "first", ext: asking({ fields }) });
  const polled = async () => {
    const rows = await t.sql<{ polled: string }[]>`select profiles_polled as polled from accounts where user_id = ${one.me}`;
    return JSON.parse(rows[0]?.polled ?? "[]") as string[];
  };
  await expect.poll(polled, { timeout: 20_000 }).toEqual([...fields].toSorted());
  await t.hs.waitForPoll(one.client.token);
  const give = (changes: Json) => t.deliver(one.client, v2({ profiles: changes }));
  return { ...one, phone, give };
}
const STATUS = { [BOB]: { displayname: "Bob", "m.status": { text: "here" } }, [CAROL]: { "m.status": "away" }, "@nobody:test": { displayname: "N" } };

describe.each(DIALECTS)("profiles (%s)", (dialect) => {
  it("M65: polls ask for the fields that clients ask for; what they missed is asked for once, and is not asked for again", async () => {
    const w = await withProfiles(dialect, STATUS);
    const questions = () => t.hs.polls(w.client.token).filter(asksForProfiles);
    const idsOf = ({ query }: { query: URLSearchParams }) =>
      (JSON.parse(query.get("filter") ?? "{}") as { "org.matrix.msc4429.profile_fields"?: { ids: string[] } })["org.matrix.msc4429.profile_fields"]
        ?.ids;
    expect(questions().map(idsOf)).toEqual([["displayname", "m.status"]]);
    expect(idsOf(await t.hs.waitForPoll(w.client.token))).toEqual(["displayname", "m.status"]);
    await w.phone.sync(lazily({ fields: ["m.status", "x"] }));
    await t.hs.waitForRequest({ token: w.client.token, path: /sync$/ });
    await expect.poll(() => questions().map(idsOf), { timeout: 20_000 }).toEqual([["displayname", "m.status"], ["x"]]);
    await expect.poll(async () => idsOf(await t.hs.waitForPoll(w.client.token)), { timeout: 20_000 }).toEqual(["displayname", "m.status", "x"]);
  });

  it("M66: at first the own profile and, lazily, those of senders and heroes; otherwise those of all members", async () => {
    const { phone, me } = await withProfiles(dialect, STATUS);
    expect(usersOf(await phone.sync(lazily()))).toEqual({
      [me]: { updated: { "m.status": "mine" } },
      [BOB]: { updated: { displayname: "Bob", "m.status": { text: "here" } } },
    });
    expect(Object.keys(usersOf(await phone.sync(everybody())) ?? {}).toSorted()).toEqual([BOB, CAROL, me].toSorted());
    expect(usersOf(await phone.sync(everybody({ lists: [], rooms: [] })))).toEqual({ [me]: { updated: { "m.status": "mine" } } });
  });

  it("M66: heroes of a room without a name are among them", async () => {
    const { phone } = await withProfiles(dialect, STATUS, ["m.status"], false);
    expect(Object.keys(usersOf(await phone.sync(lazily())) ?? {})).toContain(CAROL);
  });

  it("M66: only fields that are asked for; when more are, they come of everybody in scope, and each request says it anew", async () => {
    const { phone, me } = await withProfiles(dialect, STATUS);
    const first = await phone.sync(lazily({ fields: ["displayname"] }));
    expect(usersOf(first)).toEqual({ [BOB]: { updated: { displayname: "Bob" } } });
    const second = await phone.sync(lazily({ fields: ["displayname"] }), { pos: first.pos });
    expect(usersOf(second)).toBeUndefined();
    for (const pos of [second.pos, second.pos]) {
      // oxlint-disable-next-line no-await-in-loop -- a retry
      const third = await phone.sync(lazily({ fields: ["m.status"] }), { pos });
      expect(usersOf(third)).toEqual({ [me]: { updated: { "m.status": "mine" } }, [BOB]: { updated: { "m.status": { text: "here" } } } });
    }
  });

  it("M67: a change comes, also of who is shown nowhere, once and until it is acknowledged; a field that is gone is named", async () => {
    const { phone, give } = await withProfiles(dialect, STATUS);
    const first = await phone.sync(lazily());
    await give({ [CAROL]: { "m.status": null, displayname: "C" }, [BOB]: { displayname: "Bob" }, [DORA]: { "m.status": null } });
    const changed = { [CAROL]: { updated: { displayname: "C" }, removed: ["m.status"] } };
    const lost = await phone.sync(lazily(), { pos: first.pos });
    expect(usersOf(lost)).toEqual(changed);
    const again = await phone.sync(lazily(), { pos: first.pos });
    expect(usersOf(again)).toEqual(changed);
    expect(usersOf(await phone.sync(lazily(), { pos: again.pos }))).toBeUndefined();
  });

  it("M67: without a list, too: the own profile, and changes of anybody", async () => {
    const { phone, give, me } = await withProfiles(dialect, STATUS);
    const first = await phone.sync({ ext: asking() });
    expect(usersOf(first)).toEqual({ [me]: { updated: { "m.status": "mine" } } });
    await give({ [CAROL]: { "m.status": "back" } });
    expect(usersOf(await phone.sync({ ext: asking() }, { pos: first.pos }))).toEqual({ [CAROL]: { updated: { "m.status": "back" } } });
  });

  it("M67: it ends a wait; the user's own changes come too", async () => {
    const { phone, give, me } = await withProfiles(dialect, STATUS);
    const first = await phone.sync(lazily());
    const { answer } = await hangSliding(t, phone, lazily(), { pos: first.pos, timeout: LONG });
    await give({ [me]: { "m.status": "changed" } });
    expect(usersOf(await answer)).toEqual({ [me]: { updated: { "m.status": "changed" } } });
  });

  it("M67: who shares no room any more is null, once; who is met again comes with what is there, and with what has gone", async () => {
    const { phone, give } = await withProfiles(dialect, STATUS);
    const first = await phone.sync(lazily());
    await give({ [BOB]: null });
    const second = await phone.sync(lazily(), { pos: first.pos });
    expect(usersOf(second)).toEqual({ [BOB]: null });
    await give({ [BOB]: { displayname: "Bobby" } });
    const third = await phone.sync(lazily(), { pos: second.pos });
    expect(usersOf(third)).toEqual({ [BOB]: { updated: { displayname: "Bobby" } } });
    expect(usersOf(await phone.sync(lazily(), { pos: first.pos }))).toEqual({ [BOB]: { updated: { displayname: "Bobby" }, removed: ["m.status"] } });
  });

  it("M68: a room that comes into scope brings its users; a member who is shown for the first time comes with the event", async () => {
    const { phone, deliver, client, me, room } = await withProfiles(dialect, STATUS);
    const first = await phone.sync(lazily());
    await deliver({ timeline: [ev.message(CAROL)] });
    const second = await phone.sync(lazily(), { pos: first.pos });
    expect(usersOf(second)).toEqual({ [CAROL]: { updated: { "m.status": "away" } } });
    await deliver({ timeline: [ev.message(CAROL)] });
    const third = await phone.sync(lazily(), { pos: second.pos });
    expect(usersOf(third)).toBeUndefined();
    const other = `${room}other`;
    await t.deliver(client, v2({ join: { [other]: { state: [...newRoom(me), ev.member(BOB)], timeline: [ev.message(BOB)] } } }));
    const narrow: Ask = { lists: { all: { ranges: [[5, 9]], limit: 1, state: LAZY } }, ext: asking() };
    const fourth = await phone.sync(narrow, { pos: third.pos });
    expect(usersOf(fourth)).toBeUndefined();
    const fifth = await phone.sync(lazily(), { pos: fourth.pos });
    expect(fifth.rooms[other]).toMatchObject({ initial: true });
    expect(Object.keys(usersOf(fifth) ?? {})).toEqual([BOB]);
  });

  it("M68: first enabled in mid-connection, disabled and enabled again", async () => {
    const { phone, give, me } = await withProfiles(dialect, STATUS);
    const { ext: _, ...without } = lazily();
    const first = await phone.sync(without);
    const second = await phone.sync(lazily(), { pos: first.pos });
    expect(Object.keys(usersOf(second) ?? {}).toSorted()).toEqual([BOB, me].toSorted());
    const third = await phone.sync(without, { pos: second.pos });
    await give({ [CAROL]: { "m.status": "back" } });
    const fourth = await phone.sync(without, { pos: third.pos });
    expect(usersOf(fourth)).toBeUndefined();
    await t.restart();
    const fifth = await phone.sync(lazily(), { pos: fourth.pos });
    expect(usersOf(fifth)).toEqual({ [CAROL]: { updated: { "m.status": "back" } } });
  });

  it("M65: values are passed as they are; what no client could read is left out", async () => {
    const { phone, client, me } = await withProfiles(dialect, {});
    const first = await phone.sync(everybody());
    const users = `{"${BOB}":{"profile_updates":{"x":[1,{"y":null}],"":1,"${"z".repeat(300)}":1,"bad":"\\ud800","deep":${"[".repeat(200)}${"]".repeat(200)}}},
      "${CAROL}":1,"${DORA}":{"profile_updates":7},"nobody":{"profile_updates":{"x":1}},"@nul:test":null}`;
    t.hs.queueSync(client.token, `{"next_batch":"odd-${me}","org.matrix.msc4429.users":${users}}`);
    await t.hs.waitForPoll(client.token);
    const second = await phone.sync(everybody(), { pos: first.pos });
    expect(usersOf(second)).toEqual({ [BOB]: { updated: { x: [1, { y: null }], bad: "\ufffd" } } });
  });

  it("M65: a homeserver without MSC4429 is not asked for profiles, and there is no section", async () => {
    const { client } = scene(t);
    t.hs.on("GET", "/_matrix/client/versions", () => ({ body: { versions: ["v1.11"], unstable_features: {} } }));
    const phone = new SlidingClient(client, dialect);
    const first = await phone.sync(lazily());
    await t.hs.waitForRequest({ path: "/_matrix/client/versions" });
    await t.hs.waitForPoll(client.token);
    expect(usersOf(first)).toBeUndefined();
    expect(usersOf(await phone.sync(lazily(), { pos: first.pos }))).toBeUndefined();
    expect(t.hs.polls(client.token).some(({ query }) => query.get("filter")?.includes("4429"))).toBe(false);
  });

  it("M65: more fields than a request may name are refused", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, dialect);
    for (const fields of [Array.from({ length: 101 }, (_, n) => `f${n}`), [""], ["x".repeat(256)]]) {
      // oxlint-disable-next-line no-await-in-loop -- one client
      expect(await phone.request(lazily({ fields }))).toMatchObject({ status: 400, body: { errcode: "M_INVALID_PARAM" } });
    }
  });
});
