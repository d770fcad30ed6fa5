/** Cancellable waiting. */

/** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(reasonOf(signal));
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** The signal's reason as an Error, for `throw` and `reject`. */
export function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new DOMException("aborted", "AbortError");
}

/**
 * Runs `body` with a signal that aborts when `parent` does or after `ms`; `onDeadline` makes the reason of the latter. Unlike
 * AbortSignal.any with a timeout, it leaves no listener on a parent that lives as long as the process.
 */
export async function withDeadline<T>(
  parent: AbortSignal,
  ms: number,
  onDeadline: () => Error,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (parent.aborted) throw reasonOf(parent);
  const controller = new AbortController();
  const onAbort = () => controller.abort(reasonOf(parent));
  const timer = setTimeout(() => controller.abort(onDeadline()), ms);
  parent.addEventListener("abort", onAbort, { once: true });
  try {
    return await body(controller.signal);
  } finally {
    clearTimeout(timer);
    parent.removeEventListener("abort", onAbort);
  }
}
