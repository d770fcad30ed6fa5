/** The filter of our own v2 polls (B51), as JSON text: passed inline, so that nothing is stored at the homeserver. */

export type V2FilterOptions = {
  /** With rooms; without, for further devices of an account: to-device messages, device lists and key counts alone. */
  readonly rooms: boolean;
  /** A session of the account asks for presence. */
  readonly presence: boolean;
  /** No `since` yet: smaller timelines, as every room comes. */
  readonly first: boolean;
};

/** Events of a room in a first sync. */
export const FIRST_TIMELINE = 20;
const NOTHING = { not_types: ["*"] };

export function v2Filter(options: V2FilterOptions): string {
  if (!options.rooms) return JSON.stringify({ room: { rooms: [] }, account_data: NOTHING, presence: NOTHING });
  return JSON.stringify({
    room: {
      timeline: { limit: options.first ? FIRST_TIMELINE : 50, lazy_load_members: true },
      state: { lazy_load_members: true },
    },
    ...(options.presence ? {} : { presence: NOTHING }),
  });
}
