/** Syncs that wait, and what tests of them look at. */

import { performance } from "node:perf_hooks";
import type { Ask, Answer, AskOptions, SlidingClient } from "./sliding.ts";
import type { Sql } from "../../src/store/db.ts";
import type { Reply, V3Fixture } from "./v3.ts";

/** For fixtures whose tests hang syncs: every request notes at its first look that its connection is in use. */
export const NOTED = { touchMs: 0 } as const;

/** Long enough that only news ends it. */
export const LONG = 60_000;
/** Short enough to be waited for. */
export const SHORT = 300;

/** A list of all rooms, as most tests ask for. */
export const ALL = { lists: { all: { ranges: [[0, 99]], limit: 10 } } } as const satisfies Ask;

/**
 * Sends a sync with a position, and resolves when it has looked once and found nothing: what is delivered from then on finds it waiting. The
 * fixture must be `NOTED`.
 */
export async function hangReply(
  t: { readonly sql: Sql },
  phone: SlidingClient,
  ask: Ask,
  options: AskOptions,
): Promise<{ readonly reply: Promise<Reply> }> {
  const lastUse = async () => {
    const rows = await t.sql<{ used: string | null }[]>`
      select max(s.used_at)::text as used from sessions s join accounts a using (account) where a.user_id = ${phone.client.userId} and kind = 'connection'`;
    return rows[0]?.used ?? "";
  };
  const before = await lastUse();
  const reply = phone.request(ask, options);
  const ended = () => true;
  const answered = reply.then(ended, ended);
  while ((await lastUse()) <= before) if (await Promise.race([answered, Promise.resolve(false)])) break;
  return { reply };
}

/** The same for a sync that must succeed. */
export async function hangSliding(t: V3Fixture, phone: SlidingClient, ask: Ask, options: AskOptions): Promise<{ readonly answer: Promise<Answer> }> {
  const { reply } = await hangReply(t, phone, ask, options);
  return { answer: reply.then((one) => phone.read(one)) };
}

/** A sync, and how long it took, ms. */
export async function timedSliding(
  phone: SlidingClient,
  ask: Ask,
  options: AskOptions,
): Promise<{ readonly answer: Answer; readonly elapsed: number }> {
  const started = performance.now();
  const answer = await phone.sync(ask, options);
  // A timer may fire a millisecond early.
  return { answer, elapsed: performance.now() - started + 2 };
}

/** What an answer says of rooms and extensions, sections that say nothing left out: `{}` where nothing happened. */
export function newsOf({ rooms, extensions }: Answer): Record<string, unknown> {
  const told: Record<string, unknown> = {};
  if (Object.keys(rooms).length > 0) told["rooms"] = rooms;
  for (const [name, section] of Object.entries(extensions as Record<string, Record<string, unknown>>)) {
    const says = Object.values(section).some((part) =>
      Array.isArray(part) ? part.length > 0 : typeof part === "object" && Object.keys(part ?? {}).length > 0,
    );
    if (says) told[name] = section;
  }
  return told;
}

/** That a position is worth nothing. */
export const UNKNOWN_POS = { errcode: "M_UNKNOWN_POS", error: "Unknown position" } as const;
