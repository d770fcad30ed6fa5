/** A homeserver that was restored from a backup: it takes the now future `since`, and answers with a smaller one (T3). */

import type { Logger } from "../base/logger.ts";
import type { Sql } from "../store/db.ts";
import { newestShown } from "../store/restores.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { nextBatchOf } from "../wire/v2-response.ts";
import type { HomeserverClient } from "./client.ts";
import { knowsAny } from "./known-events.ts";

/** How long to wait before the same `since` is asked for again, ms: several writers of one homeserver may be a little apart. */
const PATIENCE_MS: readonly number[] = [5000, 15_000, 30_000];
/** How many of the account's newest events are asked for then. */
const PROBES = 5;

export type SetbacksDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "event">;
  readonly logger: Pick<Logger, "warn">;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Default 5, 15 and 30 s. */
  readonly setbackMs?: readonly number[] | undefined;
};

/** A poll of an account's device. `since` null: a first sync. */
type AnsweredPoll = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly token: string;
  readonly since: string | null;
  /** The answer. */
  readonly text: string;
};

export type Judgement = "good" | "again" | "restored" | "behind";

export class Setbacks {
  readonly #deps: SetbacksDeps;
  /** Answers in a row that ended before the `since` that was asked for. */
  #count = 0;

  constructor(deps: SetbacksDeps) {
    this.#deps = deps;
  }

  /**
   * What an answer means. "again": it ends before its `since`, and some time has passed: ask with the same `since`. "restored": it does so again and
   * again, and the homeserver knows none of the account's newest events. "behind": it does so for longer, and knows one. Perhaps nothing of this account
   * was lost, but what happens before the homeserver's positions are past the `since` again is in no answer to it.
   */
  async judge({ account, device, token, since, text }: AnsweredPoll, signal: AbortSignal): Promise<Judgement> {
    if (since === null || !isBefore(nextBatchOf(text), since)) {
      this.#count = 0;
      return "good";
    }
    const { sql, client, logger, sleep, setbackMs = PATIENCE_MS } = this.#deps;
    const over = this.#count - setbackMs.length;
    logger.warn({ account, device, answers: this.#count + 1 }, "The homeserver's answer ends before the position that was asked for");
    if (over > 0 || (over === 0 && !(await knowsAny(client, token, await newestShown(sql, account, PROBES), signal)))) {
      this.#count = 0;
      return over > 0 ? "behind" : "restored";
    }
    const wait = setbackMs[this.#count] ?? 2 * (setbackMs.at(-1) ?? 0);
    this.#count += 1;
    await sleep(wait, signal);
    return "again";
  }
}

/**
 * Whether a token is before another one. Its first field is compared, of the forms that are known: `s<n>…` (Synapse, Dendrite), `t<d>-<n>…`, and
 * `m<n>~<writer>.<n>…`; and of Synapse's further fields those that COUNTED names. False for any other form.
 */
export function isBefore(token: string, other: string): boolean {
  const [a, b] = [placeOf(token), placeOf(other)];
  return a !== null && b !== null && a.form === b.form && (isBehind(a, b) || isBehindInOthers(token.split("_"), other.split("_")));
}

/**
 * Account data, to-device messages, device lists: Synapse counts them in its database. After a restore the first field may be past ours soon, and
 * these not for long. Typing, for one, is counted in memory and begins anew at each start.
 */
const COUNTED = [4, 6, 7];
/** Dendrite's tokens have nine, in another order. */
const SYNAPSE_FIELDS = 10;
const NUMBER = /^\d{1,15}$/;

function isBehindInOthers(a: readonly string[], b: readonly string[]): boolean {
  if (a.length < SYNAPSE_FIELDS || a.length !== b.length) return false;
  return COUNTED.some((index) => {
    const [one = "", other = ""] = [a[index], b[index]];
    return NUMBER.test(one) && NUMBER.test(other) && Number(one) < Number(other);
  });
}

/** `least`: every writer is at least there. */
type Place = { readonly form: string; readonly least: number; readonly writers: ReadonlyMap<string, number> };

function placeOf(token: string): Place | null {
  const field = token.split("_", 1)[0] ?? "";
  const plain = /^(?:(s)|(t)\d+-)(\d{1,15})$/.exec(field);
  if (plain) return { form: plain[1] ?? "t", least: Number(plain[3]), writers: new Map() };
  const several = /^m(\d{1,15})((?:~\d{1,9}\.\d{1,15})*)$/.exec(field);
  if (!several) return null;
  const writers = [...(several[2] ?? "").matchAll(/~(\d+)\.(\d+)/g)].map(([, writer, at]) => [writer ?? "", Number(at)] as const);
  return { form: "s", least: Number(several[1]), writers: new Map(writers) };
}

/** Of several writers each has a place of its own: the token is behind if any of them is. */
function isBehind(a: Place, b: Place): boolean {
  const names = [...a.writers.keys(), ...b.writers.keys()];
  return a.least < b.least || names.some((name) => (a.writers.get(name) ?? a.least) < (b.writers.get(name) ?? b.least));
}
