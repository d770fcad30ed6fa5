/** Changes of profiles (MSC4429). */

import type { KnownProfile } from "../../store/ingest/profiles.ts";
import { MEETING, MET } from "../../store/profiles.ts";
import type { UserId } from "../../wire/ids.ts";
import type { ProfileUpdates } from "../../wire/profile.ts";
import type { Draft } from "./draft.ts";

/** @param updates null: the user shares no room with the account any more. `known`: all that is stored of the user */
export function planProfile(draft: Draft, user_id: UserId, updates: ProfileUpdates | null, known: readonly KnownProfile[]): void {
  const values = new Map(known.map(({ field, value }) => [field, value]));
  const put = (field: string, value: string | null) => {
    if (values.get(field) !== value) draft.profiles.push({ user_id, field, value, ord: draft.next("profiles") });
  };
  if (updates !== null) {
    if (values.has(MEETING)) put(MEETING, MET);
    // A field that was never there cannot go.
    for (const [field, value] of updates) if (value !== null || values.has(field)) put(field, value);
  } else if (values.size > 0) {
    put(MEETING, null);
    // Who meets the user again is told what has gone meanwhile.
    for (const field of values.keys()) put(field, null);
  }
}
