/** Simplified sliding sync: a connection, in either dialect. Every request says all that it asks for. */

import type { SlidingAnswer, SlidingRequest, V4Answer, V4Request } from "./api-types.ts";
import { follow, type FollowOptions, Interrupt, kept, type Store, type Told } from "./follow.ts";
import { request, type Server } from "./http.ts";

/** What of a connection outlives the program: its position, and the place in the device's to-device messages. */
export type ConnectionKept = { readonly pos: string | null; readonly toDevice: string | null };

export type ConnectionOptions = Server & {
  /** Where the connection is kept: the next run goes on from there. Default: nowhere, each run is a new one. */
  readonly store?: Store<ConnectionKept>;
};

/** What the dialects have in common. */
type AnyRequest = { readonly extensions?: { readonly to_device?: object | null } | null };
type AnyAnswer = { readonly pos: string; readonly extensions: { readonly to_device?: { readonly next_batch: string } } };

/** A dialect: where it is spoken, and how a request says its position. */
type Dialect = {
  readonly path: string;
  request(pos: string | null, timeout: number, body: object): { readonly query?: Record<string, string | number>; readonly body: object };
};

const place = (pos: string | null, timeout: number) => ({ ...(pos !== null && { pos }), timeout });
const UNSTABLE: Dialect = {
  path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
  request: (pos, timeout, body) => ({ query: place(pos, timeout), body }),
};
const V4: Dialect = { path: "/_matrix/client/v4/sync", request: (pos, timeout, body) => ({ body: { ...body, ...place(pos, timeout) } }) };

/** One connection. Those of a device are told apart by `conn_id`, and share its to-device messages. */
export class Connection<Request extends AnyRequest, Answer extends AnyAnswer> {
  readonly #dialect: Dialect;
  readonly #options: ConnectionOptions;
  readonly #interrupt = new Interrupt();
  #pos: string | null;
  #toDevice: string | null;
  #asked: Request;

  private constructor(dialect: Dialect, options: ConnectionOptions, asked: Request, last: ConnectionKept | null) {
    this.#dialect = dialect;
    this.#options = options;
    this.#asked = asked;
    this.#pos = last?.pos ?? null;
    this.#toDevice = last?.toDevice ?? null;
  }

  /** In the dialect that Element X and the SDKs speak. Nothing is asked yet. @throws TypeError where `baseUrl` is none */
  static async simplified(options: ConnectionOptions, asked: SlidingRequest): Promise<Connection<SlidingRequest, SlidingAnswer>> {
    return new Connection<SlidingRequest, SlidingAnswer>(UNSTABLE, options, asked, await kept(options));
  }

  /** As MSC4186 was merged. Nothing is asked yet. @throws TypeError where `baseUrl` is none */
  static async v4(options: ConnectionOptions, asked: V4Request): Promise<Connection<V4Request, V4Answer>> {
    return new Connection<V4Request, V4Answer>(V4, options, asked, await kept(options));
  }

  /** Asks for this from now on, in place of what was asked for. A request that waits is asked again at once. */
  ask(asked: Request): void {
    this.#asked = asked;
    this.#interrupt.now();
  }

  /** All that is asked for. */
  get asked(): Request {
    return this.#asked;
  }

  /** The position of the next request; null: it begins a connection. */
  get pos(): string | null {
    return this.#pos;
  }

  /**
   * Answers as they come, see follow(). One loop of a connection at a time. Where the to-device extension is enabled, its `since` is filled
   * in: messages are acknowledged as the answers that have them are dealt with.
   * @throws MatrixError for what is refused for good
   */
  answers(options: FollowOptions = {}): AsyncGenerator<Told<Answer>, void> {
    return follow<Answer>(
      {
        lost: "M_UNKNOWN_POS",
        isNew: () => this.#pos === null,
        ask: (timeout, signal) =>
          request<Answer>(this.#options, "POST", this.#dialect.path, { ...this.#dialect.request(this.#pos, timeout, this.#body()), signal }),
        taken: async ({ pos, extensions }) => {
          this.#pos = pos;
          this.#toDevice = extensions.to_device?.next_batch ?? this.#toDevice;
          await this.#options.store?.save({ pos, toDevice: this.#toDevice });
        },
        beginAnew: () => {
          this.#pos = null;
        },
      },
      this.#interrupt,
      options,
    );
  }

  #body(): object {
    const { extensions } = this.#asked;
    if (this.#toDevice === null || !extensions?.to_device) return this.#asked;
    return { ...this.#asked, extensions: { ...extensions, to_device: { ...extensions.to_device, since: this.#toDevice } } };
  }
}
