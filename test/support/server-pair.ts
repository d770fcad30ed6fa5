/** The same questions to a homeserver's own simplified sliding sync and to ours, and where their answers differ. */

import type { Json } from "./events.ts";
import { joinTrees, treeOf, type LabelOf, type Tree } from "./answer-tree.ts";
import type { AskOptions, SlidingAnswer, SlidingConnection } from "./sliding-connection.ts";
import type { Told } from "./told.ts";
import { differencesOf, type Difference } from "./tree-difference.ts";

/** What each answered last, and how what they told differs. */
export type Comparison = { readonly native: SlidingAnswer; readonly ours: SlidingAnswer; readonly differences: readonly Difference[] };

/** A request's body, or how to make it with the side's own `next_batch` of to-device messages. */
export type PairBody = Json | ((since: string | undefined) => Json);

const WAKE_MS = 20_000;

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
    return { native, ours, differences: this.#compare(this.#treeOf(native), this.#treeOf(ours)) };
  }

  /**
   * We wait while something happens, and go on being asked until we have told it. What differs is looked for in all that was told.
   * The homeserver is asked once it has happened: in the midst of it, it may tell a thing and then tell it again.
   */
  async wake(body: PairBody, happens: () => Promise<Told>): Promise<Comparison> {
    const waiting = this.#ours.ask(body, { timeout: WAKE_MS });
    // Should it not happen, that is what is to be heard of.
    waiting.catch(() => {});
    const told = await happens();
    const native = await this.#until(this.#native, body, told, this.#native.ask(body, { timeout: WAKE_MS }));
    const ours = await this.#until(this.#ours, body, told, waiting);
    return { native: native.answer, ours: ours.answer, differences: this.#compare(native.tree, ours.tree) };
  }

  async #until(side: Side, body: PairBody, told: Told, first: Promise<SlidingAnswer>): Promise<{ tree: Tree; answer: SlidingAnswer }> {
    const deadline = Date.now() + WAKE_MS;
    let answer = await first;
    let tree = this.#treeOf(answer);
    while (!told(answer)) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${side === this.#native ? "the homeserver has" : "we have"} not told it but ${JSON.stringify(tree)}`);
      answer = await side.ask(body, { timeout: left });
      tree = joinTrees(tree, this.#treeOf(answer));
    }
    return { tree, answer };
  }

  #treeOf(answer: SlidingAnswer): Tree {
    return treeOf(answer, this.#labelOf);
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
