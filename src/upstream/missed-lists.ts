/**
 * Device lists while the account's room poll is behind (T10). At Synapse a poll without rooms brings none, so a further device, whose own
 * polls go on, requests them. The room poll may bring the same ones once it works again: sending them twice does no harm.
 */

import { pollState } from "../store/devices.ts";
import { isIdentifier, isObject } from "../wire/identifier.ts";
import type { UserId } from "../wire/ids.ts";
import type { DeviceListChanges } from "./ingest/device-lists.ts";
import type { PollerDeps, PollerJob } from "./poller-types.ts";
import { UpstreamError } from "./upstream-error.ts";

type MissedListsDeps = Pick<PollerDeps, "sql" | "logger"> & { readonly client: Pick<PollerDeps["client"], "get"> };
type MissedListsJob = Pick<PollerJob, "device" | "rooms" | "isRoomPollBehind">;

const PATH = "/_matrix/client/v3/keys/changes";
const REFUSED: ReadonlySet<number> = new Set([400, 403, 404, 405, 501]);

export class MissedLists {
  readonly #deps: MissedListsDeps;
  readonly #job: MissedListsJob;
  /** Changes up to this token of the homeserver are stored; null: none since the room poll fell behind. */
  #upTo: string | null = null;
  #asked: string | null = null;

  constructor(deps: MissedListsDeps, job: MissedListsJob) {
    this.#deps = deps;
    this.#job = job;
  }

  /**
   * What changed up to the end of a poll's answer (`text`): since the last call, at first since the last room poll. null: nothing, or the
   * homeserver does not say (it is asked again after the next answer), or the room poll is not behind. `passedOver`: the account's since, if
   * the answer is one of the room poll's that was requested without rooms (N4): what changed since then would be lost. Throws errors that
   * can be waited out.
   */
  async ask(token: string, text: string, signal: AbortSignal, passedOver: string | null): Promise<DeviceListChanges | null> {
    this.#asked = null;
    const isBehind = !this.#job.rooms && (this.#job.isRoomPollBehind?.() ?? false);
    if (!isBehind) this.#upTo = null;
    if (!isBehind && passedOver === null) return null;
    try {
      const since = passedOver ?? this.#upTo ?? (await this.#begin());
      const to = memberOf(text, "next_batch");
      if (since === null || typeof to !== "string" || since === to) return null;
      const answer = await this.#deps.client.get(token, PATH, { from: since, to }, signal);
      if (isBehind) this.#asked = to;
      const [changed, left] = [idsOf(memberOf(answer.text, "changed")), idsOf(memberOf(answer.text, "left"))];
      return changed.length + left.length > 0 ? { changed, left } : null;
    } catch (error) {
      // A homeserver that does not know the endpoint will not know it later either.
      const isRefused = error instanceof UpstreamError && error.status !== null && REFUSED.has(error.status);
      if (signal.aborted || (passedOver !== null && !isRefused)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      this.#deps.logger.debug({ device: this.#job.device, reason }, "Could not ask the homeserver which device lists have changed");
      return null;
    }
  }

  /** The result of the last call is stored. */
  stored(): void {
    this.#upTo = this.#asked ?? this.#upTo;
  }

  async #begin(): Promise<string | null> {
    const state = await pollState(this.#deps.sql, this.#job.device);
    return state && (state.accountSince ?? state.deviceSince);
  }
}

function memberOf(text: string, name: string): unknown {
  const value: unknown = JSON.parse(text);
  return isObject(value) ? value[name] : undefined;
}

function idsOf(list: unknown): UserId[] {
  return Array.isArray(list) ? list.filter(isIdentifier).map((id) => id as UserId) : [];
}
