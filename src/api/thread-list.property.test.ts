/** A list of threads that is made from a homeserver's history (M100), against the same list made of all events at once. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import { readThreadsToken } from "../wire/threads-token.ts";
import { type AskHomeserver, listThreads } from "./thread-list.ts";

const ROOM = "!a:test" as RoomId;
const ME = "@me:test" as UserId;
const IGNORED = "@ignored:test";
const SENDERS = [ME, "@b:test", "@c:test", IGNORED];

type Event = {
  readonly event_id: string;
  readonly sender: string;
  readonly content: { readonly "m.relates_to"?: { readonly rel_type: string; readonly event_id: string } };
};
type ThreadRoot = {
  event_id: string;
  unsigned: { "m.relations": { "m.thread": { latest_event: Event; count: number; current_user_participated: boolean } } };
};

const relationOf = (event: Event) => event.content["m.relates_to"];
const isReplyTo = (root: string) => (event: Event) => relationOf(event)?.rel_type === "m.thread" && relationOf(event)?.event_id === root;

/** Each of the numbers is an event: which one it relates to, how, and who sent it. */
const history = fc
  .array(fc.record({ of: fc.nat(), kind: fc.constantFrom("plain", "plain", "thread", "thread", "m.replace"), sender: fc.constantFrom(...SENDERS) }), {
    maxLength: 60,
  })
  .map((entries) => {
    const events: Event[] = [];
    for (const { of, kind, sender } of entries) {
      const parent = events[of % Math.max(1, events.length)];
      const relation =
        kind === "plain" || !parent ? {} : { "m.relates_to": { rel_type: kind === "thread" ? "m.thread" : kind, event_id: parent.event_id } };
      events.push({ event_id: `$${events.length}`, sender, content: relation });
    }
    return events;
  });

/** A homeserver with such a room, in pages that are smaller than what is asked for. */
function homeserver(events: readonly Event[], page: number, isReversed = false): { ask: AskHomeserver; asked: string[] } {
  const asked: string[] = [];
  const pageOf = (list: readonly Event[], from: string | undefined, next: string) => {
    const at = from === undefined ? 0 : Number(from.slice(1));
    const end = at + page < list.length ? { [next]: `p${at + page}` } : {};
    return { chunk: list.slice(at, at + page), start: `p${at}`, ...end };
  };
  const ask: AskHomeserver = async (path, query) => {
    asked.push(path);
    const [, , , kind, id = ""] = path.split("/").map(decodeURIComponent);
    const newestFirst = events.toReversed();
    const replies = newestFirst.filter(isReplyTo(id));
    const body =
      kind === "messages"
        ? pageOf(newestFirst, query["from"], "end")
        : kind === "relations"
          ? pageOf(isReversed ? replies.toReversed() : replies, query["from"], "next_batch")
          : events.find(({ event_id }) => event_id === id);
    return { status: 200, text: JSON.stringify(body) };
  };
  return { ask, asked };
}

/** The list from all events at once. */
function expected(events: readonly Event[], participated: boolean) {
  const shown = events.filter(({ sender }) => sender !== IGNORED);
  return shown
    .filter((root) => relationOf(root) === undefined)
    .map((root) => ({ root, replies: shown.filter(isReplyTo(root.event_id)) }))
    .filter(({ replies }) => replies.length > 0)
    .map(({ root, replies }) => {
      return {
        event_id: root.event_id,
        latest: replies.at(-1)?.event_id ?? "",
        count: replies.length,
        participated: [root, ...replies].some(({ sender }) => sender === ME),
      };
    })
    .filter((thread) => thread.participated || !participated)
    .sort((a, b) => Number(b.latest.slice(1)) - Number(a.latest.slice(1)));
}

async function listed(ask: AskHomeserver, limits: readonly number[], participated: boolean) {
  const threads: ThreadRoot[] = [];
  let token: string | undefined;
  for (let answers = 0; answers === 0 || token !== undefined; answers += 1) {
    const limit = limits[answers % limits.length] ?? 1;
    const query = { room: ROOM, from: token === undefined ? null : readThreadsToken(token), limit, participated };
    // oxlint-disable-next-line no-await-in-loop -- each answer begins where the one before ended
    const answer = JSON.parse(await listThreads(ask, { userId: ME, ignored: new Set([IGNORED]) }, query)) as {
      chunk: ThreadRoot[];
      next_batch?: string;
    };
    expect(answer.chunk.length).toBeLessThanOrEqual(limit);
    threads.push(...answer.chunk);
    token = answer.next_batch;
  }
  return threads.map(({ event_id, unsigned }) => {
    const { latest_event, count, current_user_participated } = unsigned["m.relations"]["m.thread"];
    return { event_id, latest: latest_event.event_id, count, participated: current_user_participated };
  });
}

const limits = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 });

describe("M100: a list of threads that is made from a homeserver's history", () => {
  it("M100: has every thread once, in the order of their latest events, whatever the limits and pages", async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.integer({ min: 1, max: 20 }), limits, fc.boolean(), async (events, page, each, participated) => {
        // Replies of a thread that fill more pages than are counted are another test's.
        const { ask } = homeserver(events, Math.max(page, 7));
        expect(await listed(ask, each, participated)).toEqual(expected(events, participated));
      }),
    );
  });

  it("M100: has every thread once, too, where the homeserver orders its replies in another way than its history", async () => {
    await fc.assert(
      fc.asyncProperty(history, limits, async (events, each) => {
        const { ask } = homeserver(events, 100, true);
        const all = (await listed(ask, each, false)).map(({ event_id }) => event_id);
        expect(all.toSorted()).toEqual(
          expected(events, false)
            .map(({ event_id }) => event_id)
            .toSorted(),
        );
      }),
    );
  });

  it("M100: goes on behind an event that is gone at the beginning of its page, so that nothing is left out", async () => {
    const events: Event[] = [0, 1].map((n) => ({ event_id: `$${n}`, sender: ME, content: {} }));
    for (const n of [0, 1]) events.push({ event_id: `$r${n}`, sender: ME, content: { "m.relates_to": { rel_type: "m.thread", event_id: `$${n}` } } });
    const { ask } = homeserver(events, 100);
    const from = { room: ROOM, page: "p0", after: "$gone" as EventId };
    const answer = JSON.parse(await listThreads(ask, { userId: ME, ignored: new Set() }, { room: ROOM, from, limit: 5, participated: false })) as {
      chunk: ThreadRoot[];
    };
    expect(answer.chunk.map(({ event_id }) => event_id)).toEqual(["$1", "$0"]);
  });
});

describe("M100: how much one answer reads", () => {
  const query = { room: ROOM, from: null, limit: 5, participated: false };
  const plain = (count: number): Event[] => Array.from({ length: count }, (_, n) => ({ event_id: `$${n}`, sender: ME, content: {} }));
  const reader = { userId: ME, ignored: new Set<string>() };

  it("M100: at most 1000 events of the history; where they have no thread, the answer is empty and has a token all the same", async () => {
    const { ask, asked } = homeserver([...plain(1), reply("$reply", "$0"), ...plain(1500).slice(1)], 100);
    const first = JSON.parse(await listThreads(ask, reader, query)) as { chunk: unknown[]; next_batch: string };
    expect(first.chunk).toEqual([]);
    expect(asked).toHaveLength(10);
    const second = JSON.parse(await listThreads(ask, reader, { ...query, from: readThreadsToken(first.next_batch) })) as { chunk: ThreadRoot[] };
    expect(second.chunk.map(({ event_id }) => event_id)).toEqual(["$0"]);
    expect(second).not.toHaveProperty("next_batch");
  });

  it("M100: at most 60 threads are met, and the list goes on behind the last of them", async () => {
    const roots = plain(100);
    const replies = roots.map(({ event_id }) => reply(`$r${event_id}`, event_id));
    const { ask, asked } = homeserver([...roots, ...replies], 100);
    const stranger = { userId: "@stranger:test" as UserId, ignored: new Set<string>() };
    const answer = JSON.parse(await listThreads(ask, stranger, { ...query, limit: 30, participated: true })) as {
      chunk: unknown[];
      next_batch: string;
    };
    expect(answer.chunk).toEqual([]);
    expect(asked.filter((path) => path.includes("/relations/"))).toHaveLength(60);
    expect(readThreadsToken(answer.next_batch)).toMatchObject({ after: "$r$40" });
  });

  const reply = (id: string, root: string): Event => {
    return { event_id: id, sender: "@b:test", content: { "m.relates_to": { rel_type: "m.thread", event_id: root } } };
  };

  it.each([
    [400, "M_INVALID_PARAM"],
    [403, "M_FORBIDDEN"],
    [404, "M_NOT_FOUND"],
  ])(
    "M100: a root that the homeserver answers with %i %s costs the list that thread alone, and one that is no event id is not asked for",
    async (status, errcode) => {
      const { ask, asked } = homeserver([...plain(2), reply("$r0", "$0"), reply("$bad", "$nowhere"), reply("$worse", ".."), reply("$r1", "$1")], 100);
      const refusing: AskHomeserver = async (path, given) => {
        const answer = await ask(path, given);
        return path.includes(encodeURIComponent("$nowhere")) ? { status, text: JSON.stringify({ errcode, error: "no" }) } : answer;
      };
      const answer = JSON.parse(await listThreads(refusing, reader, query)) as { chunk: ThreadRoot[] };
      expect(answer.chunk.map(({ event_id }) => event_id)).toEqual(["$1", "$0"]);
      expect(asked.some((path) => path.includes("/../"))).toBe(false);
    },
  );

  it("M100: a homeserver without /relations is no homeserver without threads", async () => {
    const { ask } = homeserver([...plain(1), reply("$r0", "$0")], 100);
    const lacking: AskHomeserver = async (path, given) =>
      path.includes("/relations/") ? { status: 404, text: '{"errcode":"M_UNRECOGNIZED","error":"no"}' } : ask(path, given);
    await expect(listThreads(lacking, reader, query)).rejects.toMatchObject({ status: 404, errcode: "M_UNRECOGNIZED" });
  });

  it.each([
    [403, { errcode: "M_FORBIDDEN", error: "not in the room" }, 403, "M_FORBIDDEN"],
    [429, { errcode: "M_LIMIT_EXCEEDED", error: "slow", retry_after_ms: 50 }, 429, "M_LIMIT_EXCEEDED"],
    [500, "<html>", 502, "M_UNKNOWN"],
    [200, "<html>", 502, "M_UNKNOWN"],
    [400, "<html>", 400, "M_UNKNOWN"],
  ])("M100: a refusal of the homeserver (%i %j) is the client's answer, never an end of the list", async (status, body, own, errcode) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    await expect(listThreads(async () => ({ status, text }), reader, query)).rejects.toMatchObject({ status: own, errcode });
  });
});
