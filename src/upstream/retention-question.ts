/** Whether the homeserver lets messages expire, and when (T4): asked at a start and every hour, as one of the polled accounts. */

import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { Sql } from "../store/db.ts";
import { liveToken } from "../store/fetch-start.ts";
import { hasSeenRetention, noteSeenRetention, writeRetention } from "../store/message-retention.ts";
import { openToken } from "../store/tokens.ts";
import type { AccountNo } from "../wire/ids.ts";
import { cutRetention, type MessageRetention } from "../wire/message-retention.ts";
import type { HomeserverClient } from "./client.ts";
import { UpstreamError } from "./upstream-error.ts";

/** For homeservers that do not say. `fallbackMs`: the lifetime in rooms without one; null: for ever. */
export type AssumedRetention = { readonly fallbackMs: number | null };

export type RetentionQuestionDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "get">;
  readonly box: SecretBox;
  readonly logger: Pick<Logger, "info">;
  /** Default: what the homeserver does not say, it does not do, unless it was seen to (see history-check.ts). */
  readonly assumedRetention?: AssumedRetention | undefined;
};

const PATH = "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration";
/** Between two questions, and after one that failed, ms. */
const EVERY_MS = 3_600_000;
const RETRY_MS = 60_000;
/** What a homeserver answers that does not know the path. */
const NOT_KNOWN: readonly unknown[] = [404, 405];

export class RetentionQuestion {
  readonly #deps: RetentionQuestionDeps;
  #dueAt = 0;

  constructor(deps: RetentionQuestionDeps) {
    this.#deps = deps;
  }

  /** Asks if it is time to, and stores the answer. */
  async run(accounts: readonly AccountNo[], signal: AbortSignal): Promise<void> {
    const account = accounts[Math.floor(Math.random() * accounts.length)];
    if (account === undefined || performance.now() < this.#dueAt) return;
    const { sql, box, logger } = this.#deps;
    const sealed = await liveToken(sql, account);
    if (!sealed) return;
    this.#dueAt = performance.now() + RETRY_MS;
    const retention = await this.#ask(openToken(box, sealed), signal);
    if (retention === undefined) return;
    this.#dueAt = performance.now() + EVERY_MS;
    if ((await writeRetention(sql, retention)) && retention) logger.info({ retention }, "Messages expire, as the homeserver's retention policy says");
  }

  /** null: nothing expires. undefined: the homeserver did not answer. */
  async #ask(token: string, signal: AbortSignal): Promise<MessageRetention | null | undefined> {
    try {
      const retention = cutRetention((await this.#deps.client.get(token, PATH, {}, signal)).text);
      await noteSeenRetention(this.#deps.sql, false);
      return retention;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (!NOT_KNOWN.includes(error.status)) return undefined;
      const { assumedRetention } = this.#deps;
      if (assumedRetention) return { ...(assumedRetention.fallbackMs !== null && { fallback: assumedRetention.fallbackMs }) };
      return (await hasSeenRetention(this.#deps.sql)) ? {} : null;
    }
  }
}
