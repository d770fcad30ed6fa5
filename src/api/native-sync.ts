/** Whether the homeserver has simplified sliding sync itself (`-prefer-native`), which it may offer to only some of its users. */

import { LRUCache } from "lru-cache";
import { withDeadline } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { VersionsClient } from "./ports.ts";
import { hasNativeSync } from "./versions.ts";

export type NativeSyncDeps = {
  readonly client: VersionsClient;
  readonly secretBox: { hashToken(token: string): Buffer };
  readonly logger: Logger;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
  /** Ends questions when the process ends. */
  readonly signal: AbortSignal;
};

/** What the homeserver said about a token is valid for this long. */
const GOOD_MS = 60_000;
/** After a question without an answer, it is not asked again for this long. */
const TROUBLE_MS = 5_000;
/** The longest that a request waits for the homeserver's answer. */
const PATIENCE_MS = 10_000;

type KnownAnswer = { readonly isNative: boolean; readonly until: number };

export class NativeSync {
  readonly #deps: NativeSyncDeps;
  readonly #known = new LRUCache<string, KnownAnswer>({ max: 10_000 });
  readonly #asking = new Map<string, Promise<boolean>>();

  constructor(deps: NativeSyncDeps) {
    this.#deps = deps;
  }

  /** Whether the homeserver lists it in its versions for this token. Never rejects. */
  async isThere(token: string | null): Promise<boolean> {
    const key = token === null ? "" : this.#deps.secretBox.hashToken(token).toString("base64");
    const known = this.#known.get(key);
    if (known && this.#deps.now() < known.until) return known.isNative;
    const running = this.#asking.get(key);
    if (running) return running;
    const asking = this.#ask(token, key, known).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #ask(token: string | null, key: string, known: KnownAnswer | undefined): Promise<boolean> {
    const { client, logger, now } = this.#deps;
    const late = () => new Error(`the homeserver did not answer within ${PATIENCE_MS} ms`);
    try {
      const { text } = await withDeadline(this.#deps.signal, PATIENCE_MS, late, (signal) =>
        client.get(token, "/_matrix/client/versions", {}, signal),
      );
      const isNative = hasNativeSync(text);
      this.#known.set(key, { isNative, until: now() + GOOD_MS });
      return isNative;
    } catch (error) {
      logger.debug({ reason: error instanceof Error ? error.message : String(error) }, "The homeserver's /versions could not be read");
      // The last answer stays valid: a homeserver that is away for a moment must not cost its clients their positions.
      const isNative = known?.isNative ?? false;
      this.#known.set(key, { isNative, until: now() + TROUBLE_MS });
      return isNative;
    }
  }
}
