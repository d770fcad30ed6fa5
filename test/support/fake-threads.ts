/** Thread subscriptions of a fake homeserver (MSC4306, MSC4308), as Synapse has them: the extension of its own sliding sync, and its companion endpoint. */

import type { FakeHomeserver, FakeReply, FakeRequest, Json } from "./fake-homeserver.ts";

export const THREADS = "io.element.msc4308.thread_subscriptions";
const SYNC = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const PAGES = `/_matrix/client/unstable/${THREADS.replace(".thread", "/thread")}`;

type Change = { readonly stamp: number; readonly room: string; readonly root: string; readonly automatic: boolean | null };

export class FakeThreads {
  readonly #hs: FakeHomeserver;
  readonly #changes = new Map<string, Change>();
  readonly #waiting = new Set<() => void>();
  #stamp = 0;
  /** Positions from before are unknown. */
  #era = 1;

  /** Of all users. */
  constructor(hs: FakeHomeserver, features: Json = { "org.matrix.simplified_msc3575": true, "org.matrix.msc4306": true }) {
    this.#hs = hs;
    hs.on("GET", "/_matrix/client/versions", { body: { versions: ["v1.11"], unstable_features: features } });
    hs.on("POST", SYNC, (request) => this.#sync(request));
    hs.on("GET", PAGES, ({ query }) => {
      const page = this.#page(placeOf(query.get("to")), Number(query.get("from")?.slice(2) ?? this.#stamp), Number(query.get("limit")));
      return { body: { ...page.section, ...(page.next !== null && { end: page.next }) } };
    });
  }

  /** `automatic` null: the subscription ends. */
  change(room: string, root: string, automatic: boolean | null): void {
    this.#stamp += 1;
    this.#changes.set(`${room} ${root}`, { stamp: this.#stamp, room, root, automatic });
    for (const wake of this.#waiting) wake();
  }

  forgetPositions(): void {
    this.#era += 1;
    for (const wake of this.#waiting) wake();
  }

  syncs(token: string): FakeRequest[] {
    return this.#hs.seen({ path: SYNC, token });
  }

  pages(token: string): FakeRequest[] {
    return this.#hs.seen({ path: PAGES, token });
  }

  async #sync(request: FakeRequest): Promise<FakeReply> {
    const pos = request.query.get("pos");
    const { limit } = ((JSON.parse(request.body) as Json)["extensions"] as Record<string, { limit: number }>)[THREADS] ?? { limit: 100 };
    const deadline = Date.now() + Number(request.query.get("timeout") ?? 0);
    for (;;) {
      if (pos !== null && !pos.startsWith(`${this.#era}/`)) return { status: 400, body: { errcode: "M_UNKNOWN_POS", error: "Unknown position" } };
      const page = this.#page(placeOf(pos), this.#stamp, limit);
      const left = deadline - Date.now();
      if (page.count > 0 || left <= 0 || request.signal.aborted) {
        const section = { ...page.section, ...(page.next !== null && { prev_batch: page.next }) };
        return { body: { pos: `${this.#era}/${this.#stamp}`, rooms: {}, extensions: page.count > 0 ? { [THREADS]: section } : {} } };
      }
      // oxlint-disable-next-line no-await-in-loop -- a long poll
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, left);
        this.#waiting.add(done);
        request.signal.addEventListener("abort", done, { once: true });
      });
    }
  }

  #page(after: number, to: number, limit: number): { readonly section: Json; readonly next: string | null; readonly count: number } {
    const all = [...this.#changes.values()].filter(({ stamp }) => stamp > after && stamp <= to).toSorted((a, b) => b.stamp - a.stamp);
    const shown = all.slice(0, limit);
    const section: Record<string, Record<string, Record<string, Json>>> = {};
    for (const { stamp, room, root, automatic } of shown) {
      const kind = automatic === null ? "unsubscribed" : "subscribed";
      ((section[kind] ??= {})[room] ??= {})[root] = { ...(automatic !== null && { automatic }), bump_stamp: stamp };
    }
    return { section, next: shown.length === limit ? `ts${(shown.at(-1)?.stamp ?? 1) - 1}` : null, count: shown.length };
  }
}

function placeOf(pos: string | null): number {
  return Number(pos?.split("/")[1] ?? 0);
}
