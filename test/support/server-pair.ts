/** The same questions to a homeserver's own simplified sliding sync and to ours, and where their answers differ. */

import type { Json } from "./events.ts";
import { joinTrees, treeOf, type LabelOf, type Tree } from "./answer-tree.ts";
import type { AskOptions, SlidingAnswer, SlidingConnection } from "./sliding-connection.ts";
import type { Contains } from "./answer-contains.ts";
import { differencesOf, type Difference } from "./tree-difference.ts";

/** What each answered last, and how what they told differs. */
export type Comparison = { readonly native: SlidingAnswer; readonly ours: SlidingAnswer; readonly differences: readonly Difference[] };

/** A request's body, or how to make it with the side's own `next_batch` of to-device messages. */
export type PairBody = Json | ((since: string | undefined) => Json);

const WAKE_MS = 20_000;

/** What a `prev_batch` can turn out to be. */
export const EXACT = "right before the first event";
export const UNREADABLE = "before an event that the user may not read";

/** What each place in a room, with the event after it, was found to be: it is tried once. */
const TRIED = new Map<string, string>();

/** A token without those of its parts that are not about rooms. */
function withoutOtherStreams(token: string): string {
  return token.replace(/((?:^|~)[stm][\d-]+)_\S*$/, "$1");
}

/** One of the two, and what it has told so far that is its own. */
class Side {
  readonly connection: SlidingConnection;
  /** By room id, as of its last answers. */
  readonly stamps = new Map<string, number>();
  #since: string | undefined;

  constructor(connection: SlidingConnection) {
    this.connection = connection;
  }

  async ask(body: PairBody, options: AskOptions): Promise<SlidingAnswer> {
    const answer = await this.connection.ask(typeof body === "function" ? body(this.#since) : body, options);
    for (const [roomId, { bump_stamp: stamp }] of Object.entries(answer.rooms)) {
      if (typeof stamp === "number") this.stamps.set(roomId, stamp);
    }
    const next = answer.extensions["to_device"]?.["next_batch"];
    if (typeof next === "string") this.#since = next;
    return answer;
  }
}

export class ServerPair {
  readonly #native: Side;
  readonly #ours: Side;
  readonly #labelOf: LabelOf;
  readonly #topic: string | undefined;
  /** By room, all of its events that the user may read, newest first: as of some time ago. */
  readonly #history = new Map<string, readonly string[]>();

  /** `topic`: what the requests are about, where differences are meant that are not meant elsewhere. */
  constructor(native: SlidingConnection, ours: SlidingConnection, labelOf: LabelOf, topic?: string) {
    this.#native = new Side(native);
    this.#ours = new Side(ours);
    this.#labelOf = labelOf;
    this.#topic = topic;
  }

  /** The positions that the two have reached. */
  get positions(): { readonly native: string | null; readonly ours: string | null } {
    return { native: this.#native.connection.pos, ours: this.#ours.connection.pos };
  }

  /** Both are asked once, from where they are or from other positions, and do not wait. What is asked for must be known to both. */
  async ask(body: PairBody, positions = this.positions): Promise<Comparison> {
    const [native, ours] = await Promise.all([
      this.#native.ask(body, { timeout: 0, pos: positions.native }),
      this.#ours.ask(body, { timeout: 0, pos: positions.ours }),
    ]);
    const [nativeTree, ourTree] = [await this.#treeOf(this.#native, native), await this.#treeOf(this.#ours, ours)];
    return { native, ours, differences: this.#compare(nativeTree, ourTree) };
  }

  /**
   * We wait while something happens, and go on being asked until we have told it. What differs is looked for in all that was told.
   * The homeserver is asked once it has happened: in the midst of it, it may tell a thing and then tell it again.
   */
  async wake(body: PairBody, happens: () => Promise<Contains>): Promise<Comparison> {
    const waiting = this.#ours.ask(body, { timeout: WAKE_MS });
    // Should it not happen, that is what is to be heard of.
    waiting.catch(() => {});
    const told = await happens();
    const native = await this.#until(this.#native, body, told, this.#native.ask(body, { timeout: WAKE_MS }));
    const ours = await this.#until(this.#ours, body, told, waiting);
    return { native: native.answer, ours: ours.answer, differences: this.#compare(native.tree, ours.tree) };
  }

  async #until(side: Side, body: PairBody, told: Contains, first: Promise<SlidingAnswer>): Promise<{ tree: Tree; answer: SlidingAnswer }> {
    const deadline = Date.now() + WAKE_MS;
    let answer = await first;
    let tree = await this.#treeOf(side, answer);
    while (!told(answer)) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${side === this.#native ? "the homeserver has" : "we have"} not told it but ${JSON.stringify(tree)}`);
      answer = await side.ask(body, { timeout: left });
      tree = joinTrees(tree, await this.#treeOf(side, answer));
    }
    return { tree, answer };
  }

  async #treeOf(side: Side, answer: SlidingAnswer): Promise<Tree> {
    const places = new Map<string, string>();
    for (const [roomId, room] of Object.entries(answer.rooms)) {
      const { prev_batch: token, timeline } = room as { prev_batch?: string; timeline?: { event_id: string }[] };
      if (token === undefined) continue;
      const first = timeline?.[0]?.event_id;
      const key = `${side === this.#native ? "native" : "ours"} ${roomId} ${first} ${first === undefined ? token : withoutOtherStreams(token)}`;
      // oxlint-disable-next-line no-await-in-loop -- politely: the homeserver has other things to do
      const place = TRIED.get(key) ?? (await this.#placeOf(side, roomId, token, first));
      TRIED.set(key, place);
      places.set(roomId, place);
    }
    return treeOf(answer, this.#labelOf, places);
  }

  /** What a `prev_batch` leads to, back to the room's start, held against what is older than the first event that came with it. */
  async #placeOf(side: Side, roomId: string, token: string, first: string | undefined): Promise<string> {
    const paged = await side.connection.eventsBefore(roomId, token);
    if (typeof paged === "string") return `refused: ${paged}`;
    let all = this.#history.get(roomId) ?? [];
    if (first === undefined || !all.includes(first)) {
      const now = await this.#native.connection.eventsBefore(roomId, null);
      all = typeof now === "string" ? [] : now;
      this.#history.set(roomId, all);
    }
    if (first === undefined) return paged[0] === all[0] ? "after all events" : "before some events";
    if (!all.includes(first)) return UNREADABLE;
    const older = new Set(all.slice(all.indexOf(first) + 1));
    const [lost, repeated] = [older.difference(new Set(paged)).size, new Set(paged).difference(older).size];
    return lost + repeated === 0 ? EXACT : `${lost} lost, ${repeated} repeated`;
  }

  #compare(native: Tree, ours: Tree): Difference[] {
    const order = differencesOf(this.#bumpOrder(this.#native), this.#bumpOrder(this.#ours), ["order by bump_stamp"]);
    return [...differencesOf(native, ours), ...order].map((difference) => ({ ...difference, topic: this.#topic }));
  }

  /** The rooms that both have told a stamp of, the lowest first; those of one stamp in one line. */
  #bumpOrder({ stamps }: Side): string[] {
    const shared = [...stamps].filter(([roomId]) => this.#native.stamps.has(roomId) && this.#ours.stamps.has(roomId));
    const lines = [...Map.groupBy(shared, ([, stamp]) => stamp)].toSorted(([a], [b]) => a - b);
    return lines.map(([, rooms]) =>
      rooms
        .map(([roomId]) => this.#labelOf(roomId))
        .toSorted()
        .join(" = "),
    );
  }
}
