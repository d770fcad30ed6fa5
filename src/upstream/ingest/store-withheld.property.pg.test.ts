import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, type MatrixEvent, newRoom } from "../../../test/support/events.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import type { Position, RoomId, UserId } from "../../wire/ids.ts";
import { cutAll } from "./store-older.ts";
import { storeWithheld } from "./store-withheld.ts";

const [BOB, CAROL] = ["@bob:test", "@carol:test"] as const;
const ROOM = "!a:test" as RoomId;

let db: TestDatabase;
let runs = 0;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

const MAKE = {
  withheld: () => ev.message(BOB),
  message: () => ev.message(CAROL),
  topic: (n: number) => ev.topic(CAROL, String(n)),
  member: (n: number) => ev.member(CAROL, "join", { displayname: String(n) }),
} as const;
type Kind = keyof typeof MAKE;

const kinds = fc.constantFrom<Kind>("withheld", "message", "topic", "member");
const history = fc.record({
  /** What happens, and whether a v2 response ends there. */
  steps: fc.array(fc.tuple(kinds, fc.boolean()), { minLength: 1, maxLength: 25 }),
  /** How many events the page has, of so many at the end; and how many come while it is read. */
  page: fc.integer({ min: 1, max: 30 }),
  meanwhile: fc.integer({ min: 0, max: 3 }),
  isLive: fc.boolean(),
});

/** Feeds events in batches. */
async function feed(me: TestAccount, events: readonly MatrixEvent[], ends: (index: number) => boolean): Promise<void> {
  let batch: MatrixEvent[] = [];
  for (const [index, event] of events.entries()) {
    batch.push(event);
    if (!ends(index) && index < events.length - 1) continue;
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await me.step({ join: { [ROOM]: { timeline: batch } } });
    batch = [];
  }
}

/** The state before each of the room's events, and now. */
async function states(me: TestAccount): Promise<ReadonlyMap<string, unknown>> {
  const at = async (position?: number) => ({ state: await me.state(ROOM, position), memberships: idsOf(await me.members(ROOM, position)) });
  const rows = await me.timeline(ROOM);
  const before = await Promise.all(rows.map(async ({ id, ord }) => [id, await at(ord - 1)] as const));
  return new Map<string, unknown>([...before, ["now", await at()]]);
}

const idsOf = (members: Readonly<Record<string, { readonly id: string }>>) => Object.entries(members).map(([user, { id }]) => `${user} ${id}`);

test("T2: withheld messages come in their places, whatever the page has; the state before each event stays", async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ steps, page, meanwhile, isLive }) => {
      runs += 1;
      const me = await TestAccount.create(db.sql, `@me${runs}:test`);
      await me.sql`insert into leases (account, owner, epoch, expires_at) values (${me.account}, 'test', 1, now() + interval '1 hour')`;
      const events = [...newRoom(me.me), ev.member(BOB), ev.member(CAROL), ...steps.map(([kind], n) => MAKE[kind](n))];
      const first = events.length - steps.length;
      const isWithheld = (event: MatrixEvent | undefined) => event?.sender === BOB && event.state_key === undefined;
      const told = events.filter((event) => !isWithheld(event));
      await feed(me, told, (index) => steps[events.indexOf(told[index] as MatrixEvent) - first]?.[1] ?? index === first - 1);
      const position = (await me.position()) as Position;
      const later = Array.from({ length: meanwhile }, () => ev.message(CAROL));
      await feed(me, later, () => true);
      const before = await states(me);
      const read = events.slice(-page);
      const pages = [
        {
          roomId: ROOM,
          events: cutAll(
            read.map((event) => JSON.stringify(event)),
            me.now,
          ),
          end: read.length < events.length ? "end" : null,
          position,
          members: [],
        },
      ];
      const restart = { users: [BOB as UserId], unread: [], retryMs: 0 };
      if (!isLive) await me.sql`insert into unignored_users (account, user_id) values (${me.account}, ${BOB})`;
      const input = { account: me.account, device: me.device, epoch: 1, now: me.now, pages };
      expect(await storeWithheld(me.sql, isLive ? input : { ...input, restart })).toBe("stored");

      const rows = await me.timeline(ROOM);
      const shown = rows.slice(
        Math.max(
          0,
          rows.findLastIndex((row) => row.gap),
        ),
      );
      // What is older than the oldest stored event of the page is left out.
      const oldest = Math.max(
        0,
        read.findIndex((event) => !isWithheld(event)),
      );
      const expected = [...read.slice(oldest), ...later].map((event) => event.event_id);
      const ids = shown.map((row) => row.id);
      expect(ids.slice(-expected.length)).toEqual(expected);
      expect(rows.map((row) => row.id).filter((id) => before.has(id))).toEqual([...before.keys()].slice(0, -1));
      expect(await me.room(ROOM)).toMatchObject({ last_ord: rows.at(-1)?.ord });
      const after = await states(me);
      for (const [id, state] of before) expect(after.get(id), id).toEqual(state);
      // The next event follows.
      const next = ev.message(CAROL);
      await feed(me, [next], () => true);
      expect((await me.timeline(ROOM)).at(-1)).toMatchObject({ id: next.event_id, gap: false });
    }),
    { numRuns: 40 },
  );
});
