/** A room of a fake homeserver whose history can be paged: a token `h<n>` stands where n events are older. */

import type { FakeRequest, Json, MatrixEvent } from "./fake-homeserver.ts";
import { ids, type RoomRoutes } from "./rooms.ts";
import type { V3Client } from "./v3.ts";

/** How `/context` means its `end`: paging backward from it begins with the event (Synapse, Dendrite), or with the one before (Conduit). */
export type EndReading = "with the event" | "without the event";

export class PagedRoom {
  readonly id: string;
  /** In the order of pages, oldest first. */
  events: MatrixEvent[];
  /** Ids of events that pages leave out, though they count in the limit. */
  hidden: ReadonlySet<string> = new Set();

  constructor(routes: RoomRoutes, id: string, events: readonly MatrixEvent[], end: EndReading = "with the event") {
    this.id = id;
    this.events = [...events];
    routes.messages(id, (request) => this.#page(request));
    routes.context(id, (request): Json => {
      const at = this.events.findIndex(({ event_id }) => event_id === request.params["event"]) + 1;
      return { event: this.events[at - 1], state: this.stateAt(at), start: `h${at - 1}`, end: `h${end === "with the event" ? at : at - 1}` };
    });
  }

  /** The state after so many events. */
  stateAt(count: number): MatrixEvent[] {
    const state = this.events.slice(0, count).filter((event) => event.state_key !== undefined);
    return [...new Map(state.map((event) => [`${event.type} ${event.state_key}`, event])).values()];
  }

  /** Pages back with a client's requests: the ids as they come, page by page. */
  async back(client: V3Client, from: string, limit = 5): Promise<string[][]> {
    const pages: string[][] = [];
    for (let token: string | undefined = from; token !== undefined;) {
      const query = new URLSearchParams({ dir: "b", limit: String(limit), from: token });
      // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
      const reply = await client.fetch("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(this.id)}/messages?${query.toString()}`);
      if (reply.status !== 200) throw new Error(`/messages answered ${reply.status}: ${reply.text}`);
      pages.push(ids(reply.body["chunk"]));
      token = reply.body["end"];
    }
    return pages;
  }

  #page({ query }: FakeRequest): Json {
    const place = (name: string, absent: number) => {
      const text = query.get(name);
      return text === null ? absent : Number(/^h(\d+)$/.exec(text)?.[1] ?? this.events.length);
    };
    const limit = Number(query.get("limit") ?? 10);
    if (query.get("dir") === "f") {
      const [from, to] = [place("from", 0), place("to", this.events.length)];
      const stop = Math.min(to, from + limit);
      return { start: `h${from}`, chunk: this.events.slice(from, stop), ...(stop < to && { end: `h${stop}` }) };
    }
    const [from, to] = [place("from", this.events.length), place("to", 0)];
    const stop = Math.max(to, from - limit);
    const shown = this.events.slice(stop, from).filter(({ event_id }) => !this.hidden.has(event_id));
    return { start: `h${from}`, chunk: shown.toReversed(), ...(stop > to && { end: `h${stop}` }) };
  }
}
