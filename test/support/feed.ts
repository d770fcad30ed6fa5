/** Rooms with a complete history, of which v2 tells what a test wants, and readers of feeds. */

import type { FakeHomeserver, FakeReply, FakeRequest, Json, MatrixEvent, RoomParts } from "./fake-homeserver.ts";
import type { Answer, SyncOptions, V3Client } from "./v3.ts";

export type FeedEntry = {
  readonly place: number;
  readonly event?: MatrixEvent & { readonly room_id: string };
  readonly gap?: { readonly room_id: string; readonly after?: string; readonly before?: string; readonly prev_batch: string };
};

/** A room's whole history. /messages answers from it; its tokens are `h<number of events before>`. */
export class FeedRoom {
  readonly id: string;
  readonly all: MatrixEvent[];
  /** How many v2 has told, or has passed over. */
  told: number;
  /** In place of the answer of /messages. */
  refusal: FakeReply | null = null;

  constructor(hs: FakeHomeserver, id: string, history: readonly MatrixEvent[]) {
    this.id = id;
    this.all = [...history];
    this.told = history.length;
    hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(id)}/messages`, (request) => this.refusal ?? this.#page(request));
  }

  /** Events that happen now, and v2's section, with the newest `shown` of them. */
  next(events: readonly MatrixEvent[], shown = events.length): RoomParts {
    this.all.push(...events);
    const from = this.all.length - shown;
    const limited = from > this.told;
    this.told = this.all.length;
    return { timeline: this.all.slice(from), limited, prev_batch: `h${from}` };
  }

  #page(request: FakeRequest): FakeReply {
    const from = Number((request.query.get("from") ?? "h0").replace(/^\D+/, ""));
    const start = Math.max(0, from - Number(request.query.get("limit")));
    const chunk = this.all.slice(start, from).toReversed();
    return { body: { start: `h${from}`, chunk, ...(start > 0 ? { end: `h${start}` } : {}) } };
  }
}

/** A session's feed, read from answer to answer. */
export class FeedReader {
  readonly entries: FeedEntry[] = [];
  since: string | undefined;
  readonly #client: V3Client;
  readonly #params: Json;

  private constructor(client: V3Client, params: Json) {
    this.#client = client;
    this.#params = params;
  }

  static async start(client: V3Client, params: Json = {}, others: Json = {}): Promise<FeedReader> {
    const reader = new FeedReader(client, params);
    await reader.read({ ...others });
    return reader;
  }

  /** One answer. Its entries. */
  async read(others: Json = {}, options: SyncOptions = {}): Promise<FeedEntry[]> {
    const answer: Answer = await this.#client.sync({ feed: this.#params, ...others }, { since: this.since, ...options });
    this.since = answer.next;
    const entries: FeedEntry[] = answer["feed"]?.entries ?? [];
    this.entries.push(...entries);
    return entries;
  }

  /** Reads until it has so many entries in all. A test that waits in vain runs out of time. */
  async until(count: number): Promise<FeedEntry[]> {
    while (this.entries.length < count) await this.read({}, { timeout: 5000 });
    return this.entries;
  }
}

/** What entries say: the ids of events, and `room: after..before` of gaps. */
export function saidBy(entries: readonly FeedEntry[]): string[] {
  return entries.map(({ event, gap }) => event?.event_id ?? `${gap?.room_id}: ${gap?.after ?? ""}..${gap?.before ?? ""}`);
}
