/** A room of the fake homeserver whose history can be read, by a user from whom it hides some senders. */

import type { FakeHomeserver, MatrixEvent } from "./fake-homeserver.ts";

export class FakeRoom {
  readonly id: string;
  /** Of /messages. */
  readonly path: string;
  /** Oldest first, also those that are hidden. */
  readonly events: MatrixEvent[];
  /** Whose messages are not shown. */
  readonly hidden = new Set<string>();
  /** How often the history was read. */
  reads = 0;
  #held: Promise<void> | null = null;
  #release = (): void => {};
  readonly #hs: FakeHomeserver;

  constructor(hs: FakeHomeserver, id: string, events: readonly MatrixEvent[]) {
    this.id = id;
    this.events = [...events];
    this.#hs = hs;
    const room = `/_matrix/client/v3/rooms/${encodeURIComponent(id)}`;
    this.path = `${room}/messages`;
    hs.on("GET", this.path, async ({ query }) => {
      this.reads += 1;
      await this.#held;
      const from = query.get("from") ?? "";
      const shown = this.shown();
      const end = from.startsWith("t") ? Number(from.slice(1)) : shown.length;
      const start = Math.max(0, end - Number(query.get("limit") ?? 10));
      return { body: { chunk: shown.slice(start, end).toReversed(), ...(start > 0 && { end: `t${start}` }) } };
    });
    hs.on("GET", `${room}/state/m.room.member/:user`, ({ params }) => {
      const member = this.events.findLast((event) => event.type === "m.room.member" && event.state_key === params["user"]);
      return member ? { body: member } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "Event not found" } };
    });
    hs.on("GET", `${room}/context/:event`, ({ params }) => {
      const place = this.events.findIndex((event) => event.event_id === params["event"]);
      return { body: { event: this.events[place], state: this.events.slice(0, place + 1).filter((event) => event.state_key !== undefined) } };
    });
  }

  /** The events that the user sees, oldest first. */
  shown(): MatrixEvent[] {
    return this.events.filter((event) => event.state_key !== undefined || !this.hidden.has(event.sender));
  }

  /** Who reads the history waits until `release` is called, which is returned. */
  hold(): () => void {
    this.#held = new Promise((resolve) => (this.#release = resolve));
    return () => this.release();
  }

  release(): void {
    this.#release();
  }

  /** Resolves when the history is being read. */
  async asked(): Promise<void> {
    await this.#hs.waitForRequest({ path: this.path });
  }
}
