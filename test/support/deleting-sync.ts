/**
 * A `/sync` that treats to-device messages as homeservers do: the next `since` of whoever asks deletes what came before it. With two
 * readers of one device each costs the other messages, which the scripted answers of the fake homeserver never do.
 */

import type { FakeHomeserver, FakeReply, FakeRequest, Json } from "./fake-homeserver.ts";

export class DeletingSync {
  #queue: { readonly id: number; readonly message: Json }[] = [];
  #last = 0;
  readonly #waiting = new Set<() => void>();

  /** Answers the homeserver's `/sync` requests of one token; all others go on as before. */
  constructor(hs: FakeHomeserver, token: string) {
    hs.on("GET", "/_matrix/client/v3/sync", (request) =>
      request.token === token ? this.#answer(request) : { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } },
    );
  }

  /** Messages that nobody's `since` has deleted yet. */
  get left(): number {
    return this.#queue.length;
  }

  send(...messages: Json[]): void {
    for (const message of messages) this.#queue.push({ id: ++this.#last, message });
    for (const wake of this.#waiting) wake();
  }

  async #answer(request: FakeRequest): Promise<FakeReply> {
    const since = Number(request.query.get("since")?.slice(1) ?? "0");
    const deadline = Date.now() + Number(request.query.get("timeout") ?? "0");
    this.#queue = this.#queue.filter(({ id }) => id > since);
    while (this.#last <= since && Date.now() < deadline && !request.signal.aborted) await this.#news(deadline - Date.now(), request.signal);
    const events = this.#queue.map(({ message }) => message);
    return { body: { next_batch: `b${this.#last}`, ...(events.length > 0 ? { to_device: { events } } : {}) } };
  }

  #news(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiting.add(done);
      signal.addEventListener("abort", done);
    });
  }
}
