/** The feed of sync v3, for bots: each event that the account gets, one after the other. */

import type { V3FeedEntry } from "./api-types.ts";
import type { FollowOptions } from "./follow.ts";
import { V3Session, type V3SessionOptions } from "./v3.ts";

export type FeedOptions = V3SessionOptions &
  FollowOptions & {
    /** Only these rooms. Default: all that the user is in. */
    readonly rooms?: readonly string[];
    /** Most entries of an answer. Default 100. */
    readonly limit?: number;
  };

/** `lost`: the server no longer had the session, and a new one began. What happened in between is in neither. */
export type FeedItem = (V3FeedEntry & { readonly lost?: undefined }) | { readonly lost: true; readonly event?: undefined; readonly gap?: undefined };

/**
 * Events and gaps as they come. Entries of an answer are acknowledged when all of them were taken and the next one is asked for: if the program ends
 * before, they come again to the next run with the same `store`.
 * @throws MatrixError for what is refused for good, see follow()
 */
export async function* feed(options: FeedOptions): AsyncGenerator<FeedItem, void> {
  const { rooms, limit } = options;
  const session = await V3Session.open(options);
  let hasBegun = session.since !== null;
  session.ask({ feed: { rooms: rooms ? [...rooms] : null, limit: limit ?? null } });
  for await (const { answer, first } of session.answers(options)) {
    if (first && hasBegun) yield { lost: true };
    hasBegun = true;
    yield* answer.feed?.entries ?? [];
  }
}
