/** What an answer would have had fetched in the background. */

import type { RoomHero } from "../store/background-asks.ts";
import { isUnknownHero } from "../store/room-facts.ts";
import type { RoomId } from "../wire/ids.ts";
import type { AccountHead } from "../store/account-head.ts";
import { PROFILE_FIELDS } from "../wire/profile.ts";
import type { SlidingAnswer } from "./evaluate.ts";
import type { SlidingExtensions } from "./request.ts";

/** Heroes that rooms without a name were sent with, and of which only the id is known (T14). */
export function unknownHeroes({ rooms }: SlidingAnswer): RoomHero[] {
  const joined = rooms.filter(({ content }) => content.membership === "join");
  return joined.flatMap(({ roomId, content }) => (content.heroes ?? []).filter(isUnknownHero).map(({ user_id: userId }) => ({ roomId, userId })));
}

/** The rooms of an answer that the user is in. */
export function joinedRooms({ rooms }: SlidingAnswer): RoomId[] {
  return rooms.filter(({ content }) => content.membership === "join").map(({ roomId }) => roomId);
}

/** Fields of profiles that nobody asked for before. */
export function newProfileFields({ profiles }: SlidingExtensions, { profilesWanted }: Pick<AccountHead, "profilesWanted">): string[] {
  if (!profiles) return [];
  const wanted = new Set(JSON.parse(profilesWanted) as string[]);
  return (profiles.fields ?? PROFILE_FIELDS).filter((field) => !wanted.has(field));
}
