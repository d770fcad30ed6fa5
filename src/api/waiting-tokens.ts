/**
 * The tokens of requests that are being answered (T16). Nothing else would notice that the homeserver refuses one whose request waits: the device may
 * be polled with another token. Each is proven again in time, with one question however many requests wait with it, and with none where a poll or
 * another request proves it. A refusal ends the waiting requests.
 */

import { MatrixError } from "../wire/errors.ts";
import { type Authenticator, type Proven, WAITING_PROOF_MS } from "./auth.ts";

export type WaitingTokensDeps = {
  readonly auth: Pick<Authenticator, "reprove">;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
  /** Ends it. */
  readonly signal: AbortSignal;
};

/** `dueAt`: when the token is to be proven again. `requests`: how to end each with an error. */
type Waiting = Pick<Proven, "token" | "tokenHash"> & { readonly requests: Set<Refuse>; dueAt: number };
type Refuse = (error: MatrixError) => void;

/** Interval between two checks, and the wait after one that failed, ms. */
const CHECK_MS = 1000;

export class WaitingTokens {
  readonly #deps: WaitingTokensDeps;
  readonly #waiting = new Map<string, Waiting>();

  constructor(deps: WaitingTokensDeps) {
    this.#deps = deps;
    const timer = setInterval(() => void this.check(), CHECK_MS).unref();
    deps.signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** A request with that token begins; call what is returned when it is answered. `refuse` ends it; every request has its own. */
  enter({ token, tokenHash, provenAgoMs }: Pick<Proven, "token" | "tokenHash" | "provenAgoMs">, refuse: Refuse): () => void {
    const key = tokenHash.toString("base64");
    const dueAt = this.#deps.now() + WAITING_PROOF_MS - provenAgoMs;
    const waiting = this.#waiting.get(key) ?? { token, tokenHash, requests: new Set(), dueAt };
    waiting.requests.add(refuse);
    waiting.dueAt = Math.max(waiting.dueAt, dueAt);
    this.#waiting.set(key, waiting);
    return () => {
      waiting.requests.delete(refuse);
      if (waiting.requests.size === 0) this.#waiting.delete(key);
    };
  }

  /** Proves the tokens that are due. Never rejects. */
  async check(): Promise<void> {
    const now = this.#deps.now();
    const due = [...this.#waiting.values()].filter(({ dueAt }) => dueAt <= now);
    await Promise.all(due.map((waiting) => this.#prove(waiting)));
  }

  async #prove(waiting: Waiting): Promise<void> {
    const { auth, now } = this.#deps;
    // Not due again while it is asked about.
    waiting.dueAt = now() + WAITING_PROOF_MS;
    try {
      waiting.dueAt = now() + WAITING_PROOF_MS - ((await auth.reprove(waiting)) ?? 0);
    } catch (error) {
      if (error instanceof MatrixError) for (const refuse of waiting.requests) refuse(error);
      // The database is away.
      else waiting.dueAt = now() + CHECK_MS;
    }
  }
}
