/**
 * The presence extension: the presence of everybody that the homeserver's `/sync` tells of, whatever rooms the connection asks about. No MSC has
 * defined it yet. First the newest event of each user, then what changes; at most MAX_USERS in an answer, and the others in the next ones.
 */

import { type PresenceRow, readPresenceAfter } from "../../store/presence.ts";
import { agedPresence } from "../../wire/presence.ts";
import { LIVE, type SentUpTo, type StateDraft } from "../connection-state.ts";
import type { AccountView } from "../account-view.ts";
import type { SlidingContext } from "../context.ts";
import type { SlidingExtensions } from "../request.ts";

/** Events as JSON texts, and the ordinal up to which they are sent then. */
export type PresenceResult = { readonly events: readonly string[]; readonly sent: SentUpTo };

const MAX_USERS = 500;

/**
 * What was not sent yet. Nothing while the stored presence is out of date, because nobody has asked for it for some time: that is sent once the
 * homeserver has been asked. null: memory is not enough.
 */
export async function newPresence(
  { tx, account, from, to, presenceIsCurrent, now }: SlidingContext,
  view: AccountView | null,
  asked: SlidingExtensions["presence"],
  sent: SentUpTo,
): Promise<PresenceResult | null> {
  const after = sent === LIVE ? from : (sent ?? 0);
  if (sent === LIVE && from === to) return { events: [], sent };
  // What comes while it is disabled is sent once it is enabled again.
  if (!asked || !presenceIsCurrent) return { events: [], sent: sent === LIVE ? from : sent };
  if (view && after >= view.presenceOrd) return { events: [], sent: LIVE };
  if (!tx) return null;
  const rows = await readPresenceAfter(tx, account, after, MAX_USERS + 1);
  const shown = rows.slice(0, MAX_USERS);
  const aged = ({ body, at }: PresenceRow) => (at === null ? body : agedPresence(body, now - at));
  return { events: shown.map(aged), sent: rows.length > shown.length ? shown.at(-1)?.ord : LIVE };
}

export function notePresence({ sent }: PresenceResult, draft: StateDraft): void {
  draft.setPresence(sent);
}
