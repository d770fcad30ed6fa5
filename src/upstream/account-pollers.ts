/**
 * The pollers of one account: one that polls its rooms as well, as one of its devices, and one for each further device; and one for its thread
 * subscriptions, while somebody asks for them.
 */

import type { LiveDevice } from "../store/devices.ts";
import type { Lease } from "../store/leases.ts";
import type { DeviceNo } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import type { PollerDeps, PollerEnd } from "./poller-types.ts";
import { Poller } from "./poller.ts";
import { ShownPresence } from "./shown-presence.ts";
import { ThreadPoller } from "./thread-subscriptions.ts";

type Running = { readonly poller: Poller; readonly rooms: boolean; readonly done: Promise<void>; stopping: boolean };

/** How long a device is left alone if its token cannot be opened, ms. */
const UNUSABLE_REST_MS = 60_000;
/** A room poll is answered within half a minute, even if nothing happened. After this long without an answer it is behind, ms. */
const BEHIND_MS = 90_000;

export class AccountPollers {
  readonly lease: Lease;
  readonly #deps: PollerDeps;
  readonly #onEnd: (end: PollerEnd) => void;
  readonly #running = new Map<DeviceNo, Running>();
  readonly #restUntil = new Map<DeviceNo, number>();
  readonly #shown: ShownPresence;
  #threads: { readonly poller: ThreadPoller; readonly device: DeviceNo; readonly done: Promise<void> } | null = null;
  /** The devices of the latest call that has not been acted upon. */
  #latest: readonly LiveDevice[] | null = null;
  #work: Promise<void> | null = null;
  #stopped = false;

  /**
   * `onEnd` is called when a poller ends that was not stopped: `stale` means that the lease is lost, everything else that the devices have
   * to be checked again.
   */
  constructor(deps: PollerDeps, lease: Lease, onEnd: (end: PollerEnd) => void) {
    this.#deps = deps;
    this.lease = lease;
    this.#onEnd = onEnd;
    this.#shown = new ShownPresence({ now: deps.now, changed: () => this.#running.forEach(({ poller }) => poller.shownChanged()) });
  }

  /** Whether that device is polled now. */
  polls(device: DeviceNo): boolean {
    const running = this.#running.get(device);
    return running !== undefined && !running.stopping;
  }

  /**
   * Starts and stops pollers to match the devices (live ones, newest token first). One call at a time: a device's old poller must have
   * ended, with its last commit, before a new one starts, because two polls of one device would lose to-device messages.
   */
  reconcile(live: readonly LiveDevice[]): Promise<void> {
    this.#latest = live;
    this.#work ??= this.#reconcileLatest().finally(() => {
      this.#work = null;
    });
    return this.#work;
  }

  /** Ends the pollers of a device (null: of all), and starts no new ones for `ms`; resolves after their last commits. */
  async rest(device: DeviceNo | null, ms: number): Promise<void> {
    const devices = device === null ? [...this.#running.keys()] : [device];
    for (const each of devices) this.#restUntil.set(each, this.#deps.now() + ms);
    await Promise.all(devices.map((each) => this.#stopDevice(each)));
    if (device === null || device === this.#threads?.device) await this.#stopThreads();
  }

  /** A client with a token of that device was seen: its token may be usable by now. */
  forgive(device: DeviceNo): void {
    this.#restUntil.delete(device);
  }

  /** A request of a connection says this of the user's presence. `name`: see digestOf. */
  present(device: DeviceNo, name: string, presence: Presence): void {
    if (!this.#stopped) this.#shown.said(`${device} ${name}`, presence);
  }

  /** A client has uploaded keys of that device (T11). */
  keysUploaded(device: DeviceNo): void {
    this.#running.get(device)?.poller.keysUploaded();
  }

  /** A client asks for fields of profiles that polls do not ask for yet: the next one does, and is sent at once. */
  profilesWanted(): void {
    for (const { poller, rooms } of this.#running.values()) if (rooms) poller.keysUploaded();
  }

  /** That device is to be synced from scratch (T3). */
  restored(device: DeviceNo): void {
    this.#running.get(device)?.poller.restored();
  }

  /** Ends all; resolves after their last commits. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#shown.stop();
    const ending = [...this.#running.keys()].map((device) => this.#stopDevice(device));
    await Promise.all([...ending, this.#stopThreads(), this.#work]);
  }

  async #reconcileLatest(): Promise<void> {
    while (this.#latest && !this.#stopped) {
      const live = this.#latest;
      this.#latest = null;
      await this.#reconcile(live);
    }
  }

  async #reconcile(live: readonly LiveDevice[]): Promise<void> {
    const now = this.#deps.now();
    const wanted = live.filter((candidate) => (this.#restUntil.get(candidate.device) ?? 0) <= now);
    const roomDevice = this.#chooseRoomDevice(wanted);
    const leaving = [...this.#running].filter(
      ([device, { rooms }]) => !wanted.some((candidate) => candidate.device === device) || rooms !== (device === roomDevice),
    );
    await Promise.all(leaving.map(([device]) => this.#stopDevice(device)));
    if (this.#stopped) return;
    const presence = wanted.some((candidate) => candidate.presence);
    for (const { device } of wanted) {
      const running = this.#running.get(device);
      if (!running) this.#start(device, device === roomDevice, presence);
      else if (running.rooms) running.poller.setPresence(presence);
    }
    await this.#pollThreads(wanted.some((candidate) => candidate.threads) ? roomDevice : undefined);
  }

  /** Polls thread subscriptions as that device; undefined: not at all. */
  async #pollThreads(device: DeviceNo | undefined): Promise<void> {
    if (this.#threads?.device === device) return;
    await this.#stopThreads();
    if (device === undefined || this.#stopped) return;
    const poller = new ThreadPoller(this.#deps, { ...this.lease, device });
    this.#threads = { poller, device, done: poller.run() };
  }

  async #stopThreads(): Promise<void> {
    const threads = this.#threads;
    this.#threads = null;
    threads?.poller.stop();
    await threads?.done;
  }

  /** The device that polls the rooms already; else one that can continue from the account's `since`; else the one with the newest token. */
  #chooseRoomDevice(wanted: readonly LiveDevice[]): DeviceNo | undefined {
    const present = wanted.find(({ device }) => this.#running.get(device)?.rooms === true);
    return (present ?? wanted.find((candidate) => candidate.current) ?? wanted[0])?.device;
  }

  #start(device: DeviceNo, rooms: boolean, presence: boolean): void {
    const { account, epoch } = this.lease;
    const isRoomPollBehind = (): boolean => this.#isRoomPollBehind();
    const shown = () => this.#shown.presence;
    const poller = new Poller(this.#deps, { account, device, epoch, rooms, presence: rooms && presence, shown, isRoomPollBehind });
    const running: Running = { poller, rooms, done: poller.run().then((end) => this.#ended(device, running, end)), stopping: false };
    this.#running.set(device, running);
  }

  #isRoomPollBehind(): boolean {
    const roomPoller = [...this.#running.values()].find(({ rooms }) => rooms)?.poller;
    return roomPoller !== undefined && this.#deps.now() - roomPoller.gaps.polledAt > BEHIND_MS;
  }

  #ended(device: DeviceNo, running: Running, end: PollerEnd): void {
    this.#running.delete(device);
    if (end === "unusable") this.#restUntil.set(device, this.#deps.now() + UNUSABLE_REST_MS);
    if (!running.stopping && !this.#stopped) this.#onEnd(end);
  }

  #stopDevice(device: DeviceNo): Promise<void> {
    const running = this.#running.get(device);
    if (!running) return Promise.resolve();
    running.stopping = true;
    running.poller.stop();
    return running.done;
  }
}
