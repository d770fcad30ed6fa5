/** What a history is planned with: dice with a seed, and who is where as far as the steps so far tell. */

import { generator } from "../../bench/scripted-account.ts";

export const USERS = ["alice", "bob", "carol", "dave"] as const;
export type UserName = (typeof USERS)[number];

/**
 * One thing that happens. Rooms, events and devices are named (`r1`, `e7`, `D2`) by the step that makes them: a step that names what was never
 * made is passed over, so any part of a history is a history.
 */
export type Step = {
  readonly kind: string;
  readonly by?: UserName;
  readonly whom?: UserName;
  readonly device?: string;
  readonly room?: string;
  /** What the step makes, or what it is about. */
  readonly event?: string;
  /** The event that it refers to. */
  readonly to?: string;
  readonly text?: string;
  readonly n?: number;
};

export type PlannedRoom = {
  readonly name: string;
  readonly members: Map<UserName, string>;
  readonly events: string[];
  readonly creator: UserName;
};

export class Plan {
  readonly #random: () => number;
  rooms: PlannedRoom[] = [];
  /** User → those that the user ignores. */
  ignored = new Map<UserName, Set<UserName>>();
  readonly devices: { readonly by: UserName; readonly device: string }[] = USERS.map((by) => ({ by, device: "PHONE" }));
  readonly erased = new Set<UserName>();
  #events = 0;
  #devices = 0;
  #backup: (Pick<Plan, "rooms" | "ignored"> & { readonly tokens: string }) | null = null;
  isAway = false;

  constructor(seed: number) {
    this.#random = generator(seed);
    // The first numbers of seeds that follow each other are alike.
    for (let i = 0; i < 5; i += 1) this.#random();
  }

  /** 0 … below - 1. */
  int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  chance(of: number): boolean {
    return this.#random() < of;
  }

  /** Any one; undefined where there are none. */
  pick<T>(of: readonly T[]): T | undefined {
    return of[this.int(of.length)];
  }

  one<T>(of: readonly [T, ...T[]]): T {
    return this.pick(of) ?? of[0];
  }

  user(): UserName {
    return this.pick(USERS.filter((name) => !this.erased.has(name))) ?? "alice";
  }

  newEvent(room?: PlannedRoom): string {
    this.#events += 1;
    room?.events.push(`e${this.#events}`);
    return `e${this.#events}`;
  }

  newDevice(by: UserName): string {
    this.#devices += 1;
    this.devices.push({ by, device: `D${this.#devices}` });
    return `D${this.#devices}`;
  }

  backUp(): void {
    this.#backup = structuredClone({ rooms: this.rooms, ignored: this.ignored, tokens: this.#tokens });
  }

  /** Goes back to the backup. False: there is none, or somebody has logged in or out since, whose token the homeserver would not know. */
  restore(): boolean {
    const backup = this.#backup;
    this.#backup = null;
    if (backup?.tokens !== this.#tokens) return false;
    this.rooms = backup.rooms;
    this.ignored = backup.ignored;
    return true;
  }

  get #tokens(): string {
    return JSON.stringify([this.devices, [...this.erased]]);
  }

  newRoom(creator: UserName): PlannedRoom {
    const room: PlannedRoom = { name: `r${this.rooms.length + 1}`, members: new Map([[creator, "join"]]), events: [], creator };
    this.rooms.push(room);
    return room;
  }

  /** Any room with someone of that membership in it; of newer rooms more often. */
  standing(membership: string): { readonly room: PlannedRoom; readonly by: UserName } | null {
    const all = this.rooms.flatMap((room) =>
      [...room.members].filter(([by, is]) => is === membership && !this.erased.has(by)).map(([by]) => ({ room, by })),
    );
    return this.pick(this.chance(0.5) ? all.slice(-6) : all) ?? null;
  }

  /** Somebody in a room, and another user, who may be there or not. */
  pair(memberships: readonly string[]): { readonly room: PlannedRoom; readonly by: UserName; readonly whom: UserName } | null {
    const all = this.rooms.flatMap((room) =>
      room.members.get(room.creator) !== "join" || this.erased.has(room.creator)
        ? []
        : USERS.filter((whom) => whom !== room.creator && !this.erased.has(whom) && memberships.includes(room.members.get(whom) ?? "none")).map(
            (whom) => ({ room, by: room.creator, whom }),
          ),
    );
    return this.pick(all) ?? null;
  }
}
