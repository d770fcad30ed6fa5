/** T20: what `/messages` through our server has before a timeline of ours is what the homeserver has there. */

import { differencesOf, type Difference } from "../support/tree-difference.ts";
import type { TestUser } from "../support/synapse-api.ts";
import type { Loose, RoomView, View } from "../support/view.ts";
import type { World } from "./world.ts";

const PAGE = 10;
/** Timelines of those who have been following may begin earlier than v2's. */
const CHAIN = 60;
const MOST_PAGES = 20;

export class OlderEvents {
  readonly #world: World;
  readonly #user: TestUser;
  readonly #v2: View;
  /** The homeserver's events by room, newest first. */
  readonly #chains = new Map<string, Promise<readonly string[]>>();

  /** @param v2 what a fresh v2 sync of the user says */
  constructor(world: World, user: TestUser, v2: View) {
    this.#world = world;
    this.#user = user;
    this.#v2 = v2;
  }

  /** Of the joined rooms whose timelines begin with an event that the homeserver shows. */
  async differences(view: View): Promise<Difference[]> {
    const [native, ours]: [Loose, Loose] = [{}, {}];
    for (const [id, { timeline, older, membership }] of view.rooms) {
      const [theirs, first] = [this.#v2.rooms.get(id), timeline[0]?.["event_id"] as string | undefined];
      if (membership !== "join" || theirs?.membership !== "join" || first === undefined) continue;
      const chain = await this.#chain(id, theirs);
      const at = chain.indexOf(first);
      const label = this.#world.labelOf(id);
      // See room-trees.ts.
      if (at === -1 || this.#world.traits(label).includes("hidden past")) continue;
      native[label] = { older: chain.slice(at + 1, at + 1 + PAGE) };
      ours[label] = { older: await olderEvents(this.#user.at(this.#world.server.url), id, older, PAGE) };
    }
    return differencesOf({ rooms: native }, { rooms: ours });
  }

  #chain(id: string, { timeline, older, limited }: RoomView): Promise<readonly string[]> {
    // If a timeline has all that there is, Synapse's `prev_batch` is after it.
    const shown = timeline.map((event) => event["event_id"] as string).toReversed();
    const read = async () => [...shown, ...(limited ? await olderEvents(this.#user, id, older, CHAIN) : [])];
    const known = this.#chains.get(id) ?? read();
    this.#chains.set(id, known);
    return known;
  }
}

/** What is older than a token, newest first. A page may be short, and even empty, without being the last one. */
async function olderEvents(user: TestUser, room: string, from: string | undefined, limit: number): Promise<string[]> {
  const ids: string[] = [];
  let next = from;
  for (let pages = 0; next !== undefined && ids.length < limit && pages < MOST_PAGES; pages += 1) {
    const path = `/rooms/${encodeURIComponent(room)}/messages?dir=b&limit=${limit}&from=${encodeURIComponent(next)}`;
    const { chunk, end } = await user.call<{ chunk: Loose[]; end?: string }>("GET", path);
    ids.push(...chunk.map((event) => event["event_id"] as string));
    next = end;
  }
  return ids.slice(0, limit);
}
