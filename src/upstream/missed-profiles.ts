/**
 * Fields of profiles are polled once a client has asked for them, if the homeserver's v2 sends profiles (MSC4429). When that begins, it is asked once
 * for what the polls before did not ask for: the profiles of everybody who shares a room, whoever has spoken or not. Afterwards polls bring the
 * changes.
 */

import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { forgetProfiles, type ProfileFields, storeProfileSnapshot } from "../store/profiles.ts";
import { isObject } from "../wire/identifier.ts";
import type { AccountNo } from "../wire/ids.ts";
import { cutResponse } from "../wire/v2-response.ts";
import type { HomeserverClient } from "./client.ts";
import { profilesFilter } from "./v2-filter.ts";

export type MissedProfilesDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "sync" | "get">;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info">;
  /** ms; only differences count. */
  readonly now: () => number;
};

/** The account whose rooms are polled; `since`: from where they are polled next. */
type Asking = { readonly token: string; readonly since: string | null; readonly profiles: ProfileFields };

/** A poll waits so long for an answer, ms. */
const PATIENCE_MS = 60_000;
/** What the homeserver says of itself is valid for so long, and after trouble it is not asked again, ms. */
const VALID_MS = 600_000;
const TROUBLE_MS = 60_000;

export class MissedProfiles {
  readonly #deps: MissedProfilesDeps;
  readonly #job: { readonly account: AccountNo; readonly epoch: number };
  #has = false;
  #askAgainAt = -Infinity;
  #restUntil = -Infinity;

  constructor(deps: MissedProfilesDeps, job: { readonly account: AccountNo; readonly epoch: number }) {
    this.#deps = deps;
    this.#job = job;
  }

  /** The fields as they are afterwards: the next poll is to ask for those that are `polled`. Rejects only if it was stopped. */
  async complete({ token, since, profiles }: Asking, stop: AbortSignal): Promise<ProfileFields> {
    const { wanted, polled } = profiles;
    const { now, sql, logger } = this.#deps;
    const { account } = this.#job;
    if (wanted.length === 0 || since === null || now() < this.#restUntil) return profiles;
    try {
      const signal = AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]);
      if (!(await this.#isThere(signal))) {
        if (polled.length > 0) await forgetProfiles(sql, account);
        return { wanted, polled: [] };
      }
      const fields = wanted.filter((field) => !polled.includes(field));
      const isStored = fields.length > 0 && (await this.#snapshot(token, since, fields, signal));
      return isStored ? { wanted, polled: [...polled, ...fields] } : profiles;
    } catch (error) {
      if (stop.aborted) throw error;
      this.#restUntil = now() + TROUBLE_MS;
      logger.info({ account, reason: error instanceof Error ? error.message : String(error) }, "The profiles of others could not be asked for");
      return profiles;
    }
  }

  /** It acknowledges nothing: to-device messages in the answer come again with the polls. */
  async #snapshot(token: string, since: string, fields: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { sql, client, feed } = this.#deps;
    const { text, receivedAt } = await client.sync(token, { since: null, timeout: 0, filter: profilesFilter(fields) }, signal);
    const users = new Map([...cutResponse(text, receivedAt).profiles].flatMap(([user, updates]) => (updates ? [[user, updates] as const] : [])));
    const isStored = await storeProfileSnapshot(sql, { ...this.#job, since, fields, users });
    if (isStored) feed.publish({ type: "news", account: this.#job.account, kinds: new Set(["profiles"]), rooms: new Set() });
    return isStored;
  }

  /** Whether the homeserver says that its v2 sends profiles. */
  async #isThere(signal: AbortSignal): Promise<boolean> {
    const { client, now } = this.#deps;
    if (now() < this.#askAgainAt) return this.#has;
    const answer: unknown = JSON.parse((await client.get(null, "/_matrix/client/versions", {}, signal)).text);
    const features = isObject(answer) ? answer["unstable_features"] : undefined;
    this.#has = isObject(features) && features["org.matrix.msc4429"] === true;
    this.#askAgainAt = now() + VALID_MS;
    return this.#has;
  }
}
