/** Long polls one after the other, through trouble: what both APIs have in common. */

import { MatrixError } from "./http.ts";

/** An answer, and whether it begins a new session or connection: what was told before counts no more. */
export type Told<Answer> = { readonly answer: Answer; readonly first: boolean };

export type FollowOptions = {
  /** How long the server may wait for news, ms, at most 300 000. Default 30 000. */
  readonly timeout?: number;
  /** Ends the iteration without an error. */
  readonly signal?: AbortSignal;
  /** Told of each failure that is tried again. */
  readonly onRetry?: (retry: Retry) => void;
};

export type Retry = {
  /** A MatrixError (429 or 5xx), or what fetch failed with. */
  readonly error: unknown;
  readonly waitMs: number;
};

/** What is followed. */
export type Followed<Answer> = {
  /** The next request. */
  ask(timeout: number, signal: AbortSignal): Promise<Answer>;
  /** The answer was dealt with: the next request acknowledges it. */
  taken(answer: Answer): Promise<void> | void;
  /** Whether an answer would be the first of a new session or connection. */
  isNew(): boolean;
  /** The `errcode` by which the server says that it does not know this session or connection any more. */
  readonly lost: string;
  /** It is lost: the next request begins a new one. */
  beginAnew(): void;
};

const TIMEOUT_MS = 30_000;
/** Longer than the server waits: the answer was lost on the way. */
const GRACE_MS = 30_000;
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [1000, 30_000];

/** Interrupts the request that waits, so that the next one goes out at once with what is asked for now. */
export class Interrupt {
  #current = new AbortController();

  now(): void {
    this.#current.abort();
  }

  /** Of the next request. */
  renewed(): AbortSignal {
    this.#current = new AbortController();
    return this.#current.signal;
  }
}

/**
 * Answers as they come. The next request goes out when the next answer is asked for: until then this one is not acknowledged, and is told
 * again if the program ends.
 * @throws MatrixError for a request that is refused for good: 401, 403, or what it asks for is wrong
 */
export async function* follow<Answer>(
  followed: Followed<Answer>,
  interrupt: Interrupt,
  options: FollowOptions = {},
): AsyncGenerator<Told<Answer>, void> {
  const { timeout = TIMEOUT_MS, signal = new AbortController().signal, onRetry } = options;
  let failures = 0;
  while (!signal.aborted) {
    const interrupted = interrupt.renewed();
    let answer: Answer;
    try {
      answer = await within([signal, interrupted], timeout + GRACE_MS, (end) => followed.ask(timeout, end));
    } catch (error) {
      if (signal.aborted || interrupted.aborted) continue;
      if (error instanceof MatrixError && error.errcode === followed.lost && !followed.isNew()) {
        followed.beginAnew();
        continue;
      }
      if (isForGood(error)) throw error;
      const waitMs = waitAfter(error, failures);
      failures += 1;
      onRetry?.({ error, waitMs });
      await rest(waitMs, [signal, interrupted]);
      continue;
    }
    failures = 0;
    yield { answer, first: followed.isNew() };
    await followed.taken(answer);
  }
}

/** Trouble on the way and of the server passes; what is wrong with the request does not. */
function isForGood(error: unknown): boolean {
  return error instanceof MatrixError && error.status < 500 && error.status !== 429 && error.status !== 408;
}

/** Twice as long each time, and not all clients at the same moment. */
function waitAfter(error: unknown, failures: number): number {
  if (error instanceof MatrixError && error.retryAfterMs !== null) return error.retryAfterMs;
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return Math.round(longest * (0.5 + Math.random() / 2));
}

/**
 * Runs `work` with a signal that aborts with the first of some, or after `ms`. Unlike AbortSignal.any, nothing stays behind on those that live
 * longer: they may see many polls.
 */
async function within<T>(signals: readonly AbortSignal[], ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const end = (): void => controller.abort();
  const timer = setTimeout(() => controller.abort(new DOMException("No answer in time", "TimeoutError")), ms);
  for (const signal of signals) {
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  }
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener("abort", end);
  }
}

function rest(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal.addEventListener("abort", done);
    if (signals.some((signal) => signal.aborted)) done();
  });
}

/** What is kept of the last run, if anything is. @throws TypeError where `baseUrl` is none */
export async function kept<Kept>({ baseUrl, store }: { readonly baseUrl: string; readonly store?: Store<Kept> }): Promise<Kept | null> {
  void new URL(baseUrl);
  return (await store?.load()) ?? null;
}

/** Where something is kept from one run of the program to the next. */
export type Store<Kept> = {
  load(): Promise<Kept | null> | Kept | null;
  save(kept: Kept): Promise<void> | void;
};
