import { describe, expect, it } from "vitest";
import type { AccountRoom } from "../store/account-rooms.ts";
import type { Membership } from "../store/room-facts.ts";
import type { RoomId } from "../wire/ids.ts";
import { LIVE, MAYBE, NOTHING_SENT, type SentRoom, StateDraft } from "./connection-state.ts";
import { NO_STATE, type RequiredState } from "./required-state.ts";
import { askingForAllMembers, leaveBehind, type RoomJob, roomJobs } from "./room-jobs.ts";
import type { ChosenRoom } from "./select.ts";

const ROOM = "!a:test" as RoomId;
const NAME: RequiredState = { atoms: [{ type: "m.room.name", key: "" }], lazy: false };
const EVERYBODY: RequiredState = { atoms: [{ type: "m.room.member" }, ...NAME.atoms], lazy: false };
const AT = 50;
/** Below it, what ended is not known. */
const HORIZON = 15;

type Parts = {
  readonly changed?: number;
  readonly moved?: number;
  readonly ended?: number;
  readonly membership?: Membership;
  readonly limit?: number;
  readonly state?: RequiredState;
};

function roomOf({ changed = 1, moved = 1, ended = 0, membership = "join" }: Parts): AccountRoom {
  return {
    roomId: ROOM,
    membership,
    facts: { is_dm: false, is_encrypted: false, joined_count: 1, invited_count: 0, notification_count: 0, highlight_count: 0, tags: {}, sources: {} },
    factsOrd: 1,
    changedOrd: changed,
    membershipOrd: moved,
    activeOrd: changed,
    bumpOrd: 1,
    kicked: false,
    everJoined: true,
    inviter: null,
    endedOrd: ended,
    purged: false,
  };
}

function chosenOf(parts: Parts): Map<RoomId, ChosenRoom> {
  const config = { timelineLimit: parts.limit ?? 5, requiredState: parts.state ?? NO_STATE };
  return new Map([[ROOM, { room: roomOf(parts), lists: ["l"], subscribed: false, config }]]);
}

/** What the connection knows of the room. */
function draftOf(record: Partial<SentRoom> | null, config: RequiredState = NO_STATE): StateDraft {
  const draft = new StateDraft(NOTHING_SENT);
  if (record) draft.put(ROOM, { sent: { events: LIVE }, limit: 5, config: draft.config(config), ...record });
  return draft;
}

async function jobOf(
  parts: Parts,
  record: Partial<SentRoom> | null,
  known: RequiredState = NO_STATE,
  allMembers = false,
): Promise<RoomJob | undefined> {
  const question = { state: draftOf(record, known).done(), from: AT, horizon: HORIZON, allMembers: new Set(allMembers ? [ROOM] : []) };
  const [job] = await roomJobs(chosenOf(parts), question);
  return job;
}

describe("what is sent of a room", () => {
  it("M22: never sent: all of it; sent and unchanged: nothing; changed: what is new since", async () => {
    expect(await jobOf({}, null)).toMatchObject({ kind: "initial", sent: 0, changed: true });
    expect(await jobOf({ changed: AT }, {})).toBeUndefined();
    expect(await jobOf({ changed: AT + 1 }, {})).toMatchObject({ kind: "delta", sent: AT, changed: true, grown: false, expanded: false });
  });

  it("M23: sent up to some position: what is new since then", async () => {
    expect(await jobOf({ changed: 20 }, { sent: { events: 10 } })).toMatchObject({ kind: "delta", sent: 10, changed: true });
    expect(await jobOf({ changed: 10 }, { sent: { events: 10 } })).toBeUndefined();
  });

  it("M33: joined again since it was sent: all of it; left since: what is new", async () => {
    expect(await jobOf({ changed: AT + 2, moved: AT + 2 }, {})).toMatchObject({ kind: "initial", sent: 0 });
    expect(await jobOf({ changed: 20, moved: 20 }, { sent: { events: 10 } })).toMatchObject({ kind: "initial" });
    expect(await jobOf({ changed: 20, moved: 20 }, { sent: { events: 20 } })).toBeUndefined();
    expect(await jobOf({ changed: AT + 2, moved: AT + 2, membership: "leave" }, {})).toMatchObject({ kind: "delta", sent: AT });
  });

  it("M96: where state ended that nobody knows any more: all of it; where it is known: what is new", async () => {
    expect(await jobOf({ changed: 20, ended: 20 }, { sent: { events: HORIZON - 1 } })).toMatchObject({ kind: "initial", sent: 0 });
    expect(await jobOf({ changed: 40, ended: 40 }, { sent: { events: HORIZON } })).toMatchObject({ kind: "delta", sent: HORIZON });
    expect(await jobOf({ changed: 40, ended: 10 }, { sent: { events: 10 } })).toMatchObject({ kind: "delta", sent: 10 });
  });

  it("M97: it is unknown whether the client has it: all of it, though nothing changed; and what it was left as", async () => {
    const sent = { events: MAYBE };
    expect(await jobOf({ changed: 1 }, { sent })).toMatchObject({ kind: "initial", sent: 0 });
    expect(await jobOf({ changed: 1, membership: "invite" }, { sent })).toMatchObject({ kind: "stripped" });
    expect(await jobOf({ changed: 1, membership: "leave" }, { sent })).toMatchObject({ kind: "initial" });
  });

  it("M31: invites and knocks: stripped, when they are new or change, whatever is asked for", async () => {
    for (const membership of ["invite", "knock"] as const) {
      expect(await jobOf({ membership }, null)).toMatchObject({ kind: "stripped" });
      expect(await jobOf({ membership, state: NAME, limit: 100 }, { limit: 0 })).toBeUndefined();
      expect(await jobOf({ membership, changed: AT + 1, moved: AT + 1 }, {})).toMatchObject({ kind: "stripped" });
    }
  });

  it("M36: a room with a raised limit is read even if nothing changed, one with a lowered limit is not", async () => {
    expect(await jobOf({ limit: 6 }, {})).toMatchObject({ kind: "delta", expanded: true, changed: false });
    expect(await jobOf({ limit: 4 }, {})).toBeUndefined();
    expect(await jobOf({ limit: 6 }, null)).toMatchObject({ kind: "initial", expanded: false });
  });

  it("M40: a room with newly requested state is read even if nothing changed; with less or the same it is not", async () => {
    expect(await jobOf({ state: NAME }, {})).toMatchObject({ kind: "delta", grown: true, changed: false });
    expect(await jobOf({ state: NAME }, {}, NAME)).toBeUndefined();
    expect(await jobOf({}, {}, NAME)).toBeUndefined();
    expect(await jobOf({ state: { ...NO_STATE, lazy: true } }, {})).toBeUndefined();
  });

  it("M43: all members are asked for once they are known: until then the rest is sent", async () => {
    const early = await jobOf({ state: EVERYBODY }, null);
    expect([early?.matcher.allMembers, early?.matcher.matches("m.room.name", "")]).toEqual([false, true]);
    expect(await jobOf({ state: EVERYBODY }, {}, NAME)).toBeUndefined();
    expect(await jobOf({ state: EVERYBODY }, {}, NAME, true)).toMatchObject({ grown: true, matcher: { allMembers: true } });
    const full = await jobOf({ state: { atoms: [{}], lazy: false } }, null);
    expect([full?.matcher.matches("m.room.member", "@b:test"), full?.matcher.matches("m.other", "x")]).toEqual([false, true]);
    expect(await askingForAllMembers(chosenOf({ state: EVERYBODY }))).toEqual([ROOM]);
    expect(await askingForAllMembers(chosenOf({ state: EVERYBODY, membership: "leave" }))).toEqual([]);
    expect(await askingForAllMembers(chosenOf({ state: NAME }))).toEqual([]);
  });
});

describe("rooms that are not asked about", () => {
  const behind = (changed: number, record: Partial<SentRoom> | null, isChosen = false) => {
    const draft = draftOf(record);
    const room = roomOf({ changed });
    leaveBehind({ byId: new Map([[ROOM, room]]), sorted: [room] }, new Map(isChosen ? [[ROOM, true]] : []), draft, AT);
    return draft.room(ROOM).sent.events;
  };

  it("M23: are sent from here on, where they were sent until now and changed", () => {
    expect(behind(AT + 1, {})).toBe(AT);
    expect(behind(AT, {})).toBe(LIVE);
    expect(behind(AT + 1, {}, true)).toBe(LIVE);
    expect(behind(AT + 1, { sent: { events: 10 } })).toBe(10);
    expect(behind(AT + 1, null)).toBeUndefined();
  });
});
