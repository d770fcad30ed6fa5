/** Every request and its answer as they went. */

import { signal } from "@preact/signals";

export type Exchange = {
  readonly id: number;
  /** Absolute, ms since 1970. */
  readonly at: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly request: string;
  /** What the request did not say, since the session remembers it (R6); null: nothing is remembered. */
  readonly sticky: object | null;
  /** Until there is an answer; "failed": there is none. */
  readonly status: number | "waiting" | "failed" | "interrupted";
  readonly response: string;
  /** Of the body as it came, and unpacked. */
  readonly bytes: { readonly packed: number; readonly plain: number } | null;
  readonly ms: number | null;
};

/** The newest last. */
export const exchanges = signal<readonly Exchange[]>([]);
const KEPT = 200;
let last = 0;

/** A fetch whose requests are seen. `sticky`: what of its body is remembered though it is not said. */
export function recorded(sticky: (body: object) => object | null = () => null): typeof fetch {
  return async (input, init) => {
    const url = new URL(input as string, location.href);
    const request = typeof init?.body === "string" ? init.body : "";
    const id = (last += 1);
    const started = performance.now();
    const exchange: Exchange = {
      id,
      at: Date.now(),
      method: init?.method ?? "GET",
      path: url.pathname + url.search,
      request: withoutPassword(request),
      sticky: request === "" ? null : sticky(JSON.parse(request) as object),
      status: "waiting",
      response: "",
      bytes: null,
      ms: null,
    };
    exchanges.value = [...exchanges.value.slice(1 - KEPT), exchange];
    const change = (changes: Partial<Exchange>): void => {
      exchanges.value = exchanges.value.map((one) => (one.id === id ? { ...one, ...changes, ms: performance.now() - started } : one));
    };
    try {
      const response = await fetch(input, init);
      const copy = await response.clone().text();
      change({ status: response.status, response: withoutToken(copy), bytes: sizeOf(url, started, copy) });
      return response;
    } catch (error) {
      change({ status: init?.signal?.aborted ? "interrupted" : "failed", response: error instanceof Error ? error.message : String(error) });
      throw error;
    }
  };
}

/** A request beside the library's; whatever comes of it, as it went. */
export async function sendByHand(token: string, method: string, path: string, body?: string): Promise<Exchange | undefined> {
  const id = last + 1;
  const init = { method, headers: { authorization: `Bearer ${token}` }, ...(body !== undefined && { body }) };
  await recorded()(path, init).catch(() => null);
  return exchanges.value.find((one) => one.id === id);
}

function sizeOf(url: URL, started: number, text: string): Exchange["bytes"] {
  const plain = new TextEncoder().encode(text).length;
  const timings = performance.getEntriesByName(url.href, "resource") as PerformanceResourceTiming[];
  const timing = timings.findLast((one) => one.startTime >= started - 1);
  performance.clearResourceTimings();
  return { packed: timing?.encodedBodySize || plain, plain };
}

/** Neither is to be seen over a shoulder, or on a screenshot. */
function withoutPassword(body: string): string {
  return body.replace(/("password":\s*)"(?:[^"\\]|\\.)*"/g, '$1"…"');
}
function withoutToken(body: string): string {
  return body.replace(/("(?:access|refresh)_token":\s*)"(?:[^"\\]|\\.)*"/g, '$1"…"');
}
