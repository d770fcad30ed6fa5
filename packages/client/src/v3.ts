/** Sync v3: a session with sticky streams. */

import type { V3Answer, V3Request } from "./api-types.ts";
import { follow, type FollowOptions, Interrupt, kept, type Store, type Told } from "./follow.ts";
import { request, type Server } from "./http.ts";
import { difference, isObject, patched } from "./patch.ts";

const PATH = "/_matrix/client/v3/sync";
/** `p.since`: the first page, not a page token (R21). */
const FIRST_PAGE = "1";

/** What of a session outlives the program: its place, and what it asks for. */
export type V3Kept = { readonly since: string; readonly asked: V3Request };

export type V3SessionOptions = Server & {
  /** Where the session is kept: the next run goes on from there. Default: nowhere, each run is a new session. */
  readonly store?: Store<V3Kept>;
};

/** One session. Several of a device share its to-device messages: each gets all of them. */
export class V3Session {
  readonly #options: V3SessionOptions;
  readonly #interrupt = new Interrupt();
  #since: string | null;
  /** What the server knows of what is asked for, and all of it. */
  #known: V3Request;
  #asked: V3Request;

  private constructor(options: V3SessionOptions, last: V3Kept | null) {
    this.#options = options;
    this.#since = last?.since ?? null;
    this.#known = last?.asked ?? {};
    this.#asked = this.#known;
  }

  /** A session: that of the store, if there is one. Nothing is asked yet. @throws TypeError where `baseUrl` is none */
  static async open(options: V3SessionOptions): Promise<V3Session> {
    return new V3Session(options, await kept(options));
  }

  /**
   * Changes what is asked for, parameter by parameter (R6, D9): `null` restores a parameter's default, `null` for a stream ends it.
   * `p.since: "1"` stays too, and asks for the first page each time (R21). A request that waits is asked again at once.
   */
  ask(changes: V3Request): void {
    this.#asked = patched(this.#asked, changes);
    this.#interrupt.now();
  }

  /** All that is asked for. */
  get asked(): V3Request {
    return this.#asked;
  }

  /** The token of the next request; null: it begins a session. */
  get since(): string | null {
    return this.#since;
  }

  /** Answers as they come, see follow(). One loop of a session at a time. @throws MatrixError for what is refused for good */
  answers(options: FollowOptions = {}): AsyncGenerator<Told<V3Answer>, void> {
    let sent = this.#asked;
    return follow<V3Answer>(
      {
        lost: "M_UNKNOWN_SYNC_SESSION",
        isNew: () => this.#since === null,
        ask: (timeout, signal) => {
          sent = this.#asked;
          const body = { ...difference(this.#known, sent) };
          for (const [stream, params] of Object.entries(sent)) {
            if (isObject(params) && isObject(params["p"]) && params["p"]["since"] === FIRST_PAGE) {
              body[stream] = patched((body[stream] as object | undefined) ?? {}, { p: { since: FIRST_PAGE } });
            }
          }
          return this.#request({ since: this.#since ?? undefined, timeout }, body, signal);
        },
        taken: async ({ next }) => {
          this.#known = sent;
          this.#since = next;
          await this.#options.store?.save({ since: next, asked: sent });
        },
        beginAnew: () => {
          this.#known = {};
          this.#since = null;
        },
      },
      this.#interrupt,
      options,
    );
  }

  /**
   * Pages of streams (D14): `{ room_members: { p: { since: answer.room_members.p.next } } }`, of the answer whose `next` is given. Beside the
   * answers; never waits.
   * @throws MatrixError; M_INVALID_PARAM: the page token is no longer good, page "1" is to be asked for
   */
  page(streams: V3Request, next: string, signal?: AbortSignal): Promise<V3Answer> {
    return this.#request({ since: next }, streams, signal);
  }

  #request(query: { readonly since?: string | undefined; readonly timeout?: number }, body: object, signal: AbortSignal | undefined) {
    return request<V3Answer>(this.#options, "POST", PATH, { query, body, signal });
  }
}
