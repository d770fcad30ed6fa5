/**
 * Wake-ups inside one process: a transaction that commits news for an account is published, and whoever waits for that account is woken. A
 * wake-up is a hint: what is new can always be read from the store. If it was stored in this process, it is handed over with the wake-up, to
 * save the read.
 */

import type { StoredBatch } from "../store/ingest/row-types.ts";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";

/**
 * What a batch may have changed. `to_device` and `key_counts` concern only the wake-up's device; `device_lists` every device of the account
 * (T10). `keys_uploaded`: a client has uploaded keys of the wake-up's device, so its poll must be sent again (T11). `feed`: a gap of a feed was
 * closed (S6). `profile_fields`: a client asks for fields of profiles that polls do not ask for yet.
 */
export type WakeKind =
  | "timeline"
  | "feed"
  | "state"
  | "members"
  | "facts"
  | "typing"
  | "receipts"
  | "account_data"
  | "presence"
  | "thread_subscriptions"
  | "profiles"
  | "profile_fields"
  | "sticky_events"
  | "invites"
  | "to_device"
  | "device_lists"
  | "key_counts"
  | "keys_uploaded"
  | "complete"
  | "gone";

/**
 * - news: the account's position or one of its devices' seq advanced. `kinds` and `rooms` are absent where unknown (the wake-up came from
 *   another process): then anything may have changed.
 * - session: a newer request of the session began (D11); `request` sorts after that of each older one.
 * - connection: the same for a device's sliding sync connection; `name`: see digestOf.
 * - presence: a request of that connection says this of its user's presence. It wakes nobody: it is for the account's pollers.
 */
export type Wake =
  | {
      readonly type: "news";
      readonly account: AccountNo;
      readonly device?: DeviceNo;
      readonly kinds?: ReadonlySet<WakeKind>;
      readonly rooms?: ReadonlySet<RoomId>;
      /** What was stored, if this process stored it: it never leaves the process. */
      readonly batch?: StoredBatch;
    }
  | { readonly type: "session"; readonly account: AccountNo; readonly session: SessionNo; readonly request: string }
  | { readonly type: "connection"; readonly account: AccountNo; readonly device: DeviceNo; readonly name: string; readonly request: string }
  | { readonly type: "presence"; readonly account: AccountNo; readonly device: DeviceNo; readonly name: string; readonly presence: Presence };

/** Publish it after ending sessions, devices or tokens of an account: waiting requests then check whether their own still exists (T18). */
export function goneWake(account: AccountNo): Wake {
  return { type: "news", account, kinds: new Set(["gone"]), rooms: new Set() };
}

export type WakeListener = (wake: Wake) => void;

/** The interface to publish and receive wake-ups: inside a process here, across processes in shared-feed.ts. */
export interface Feed {
  publish(wake: Wake): void;
  /** Calls `listener` for each wake-up of `account` until the returned function is called. */
  subscribe(account: AccountNo, listener: WakeListener): () => void;
  /** Calls `observer` for each wake-up of any account, before the account's own listeners. */
  observe(observer: WakeListener): void;
}

export class Hub implements Feed {
  readonly #listeners = new Map<AccountNo, Set<WakeListener>>();
  readonly #observers = new Set<WakeListener>();

  observe(observer: WakeListener): void {
    this.#observers.add(observer);
  }

  publish(wake: Wake): void {
    for (const observer of this.#observers) observer(wake);
    const listeners = this.#listeners.get(wake.account);
    if (listeners) for (const listener of listeners) listener(wake);
  }

  /** Wakes every listener: something may have been missed. */
  wakeAll(): void {
    for (const account of this.#listeners.keys()) this.publish({ type: "news", account });
  }

  subscribe(account: AccountNo, listener: WakeListener): () => void {
    let listeners = this.#listeners.get(account);
    if (!listeners) this.#listeners.set(account, (listeners = new Set()));
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(account) === listeners) this.#listeners.delete(account);
    };
  }
}
