import { describe, expect, test } from "vitest";
import { advance, FIRST_MEMORY, type PollerEvent, type PollerMemory, type PollerState, TRANSITIONS } from "./poller-state.ts";

/** What becomes of `BEFORE`, and whether the cursor is dropped; members that are not named do not change. */
type CellOutcome = Partial<PollerMemory> & { readonly cursor?: "dropped" };

const BEFORE = { isHurried: false, badSinces: 1, stales: 1, emptyQueues: 1 };

/** The compiler demands a line for every state and every event that it can meet. */
const EXPECTED: { readonly [S in PollerState]: Readonly<Record<PollerEvent<S>, CellOutcome>> } = {
  bury: {
    buried: { state: "token", isHurried: true },
    failed: { cursor: "dropped", isHurried: true },
    keys_uploaded: { cursor: "dropped", isHurried: true },
    filter_changed: { isHurried: true },
  },
  token: {
    loaded: { state: "cursor" },
    missing: { state: "no_token" },
    unusable: { state: "unusable" },
    failed: { cursor: "dropped", isHurried: true },
    keys_uploaded: { cursor: "dropped", isHurried: true },
    filter_changed: { isHurried: true },
  },
  cursor: {
    loaded: { state: "poll" },
    missing: { state: "deleted" },
    failed: { cursor: "dropped", isHurried: true },
    keys_uploaded: { cursor: "dropped", isHurried: true },
    filter_changed: { isHurried: true },
  },
  poll: {
    interrupted: {},
    unknown_token: { state: "bury" },
    since_refused: { badSinces: 2 },
    reset: { state: "cursor", cursor: "dropped", isHurried: true, badSinces: 0, emptyQueues: 0 },
    answered: { badSinces: 0 },
    stored: { stales: 0 },
    queue_drained: { stales: 0, emptyQueues: 0 },
    queue_empty: { stales: 0, emptyQueues: 2 },
    unchanged: { stales: 0 },
    stale: { state: "cursor", cursor: "dropped", stales: 2 },
    lease_lost: { state: "stale" },
    failed: { state: "cursor", cursor: "dropped", isHurried: true },
    keys_uploaded: { state: "cursor", cursor: "dropped", isHurried: true },
    filter_changed: { isHurried: true },
  },
};

/** The table's cells of a state, by event. */
const cells = (state: PollerState) => new Map(Object.entries(TRANSITIONS[state])) as ReadonlyMap<PollerEvent<typeof state>, { dropsCursor?: true }>;

describe.each(Object.keys(EXPECTED) as PollerState[])("in state %s", (state) => {
  const expected = new Map<string, CellOutcome>(Object.entries(EXPECTED[state]));

  test("every event of the table is expected here", () => {
    expect(new Set(cells(state).keys())).toEqual(new Set(expected.keys()));
  });

  test.each([...cells(state)])("%s", (event, { dropsCursor }) => {
    const { cursor, ...changes } = expected.get(event) ?? {};
    expect(advance({ ...BEFORE, state }, state, event)).toEqual({ ...BEFORE, state, ...changes });
    expect(dropsCursor).toBe(cursor && true);
  });
});

test("only a successful poll ends the hurry, and no failure resets a counter", () => {
  const ends = new Set<string>(["stored", "queue_drained", "queue_empty", "unchanged"]);
  for (const event of Object.keys(TRANSITIONS.poll) as PollerEvent<"poll">[]) {
    expect(advance({ ...FIRST_MEMORY, state: "poll" }, "poll", event).isHurried, event).toBe(!ends.has(event));
  }
  expect(advance({ ...BEFORE, state: "poll" }, "poll", "failed")).toMatchObject({ badSinces: 1, stales: 1, emptyQueues: 1 });
});
