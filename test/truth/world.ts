/** Users of a real homeserver with our server in front of it, their devices, and clients that follow them: what a history is played in. */

import { setTimeout as delay } from "node:timers/promises";
import type { Json, TestUser } from "../support/synapse-api.ts";
import type { Synapse } from "../support/synapse.ts";
import type { OurServer } from "./our-server.ts";
import { USERS, type Step, type UserName } from "./plan.ts";
import { FACES, Live } from "./readers.ts";

/** What a world is made of; one after the other shares them. */
export type Servers = { readonly homeserver: Synapse; readonly server: OurServer; readonly admin: TestUser };

/** A step names what was never made, because the step that makes it was refused or left out. */
class NotMade extends Error {
  override readonly name = "NotMade";
}

/** A device, with a client of each face. */
export type Device = {
  readonly by: UserName;
  readonly user: TestUser;
  readonly live: readonly Live[];
  /** Numbers of what was sent to it, in order. */
  readonly sent: number[];
};

/** Patience with servers that have been started anew. */
const UNTIL_MS = 60_000;
const MARK = "test.settled";
/** For longer than our server asks whether the homeserver was restored (server.ts). */
const SETBACK_MS = 3000;
let worlds = 0;

export class World {
  readonly server: OurServer;
  readonly admin: TestUser;
  readonly devices: Device[] = [];
  /** A device of each user that only the homeserver knows. */
  readonly witnesses = new Map<UserName, TestUser>();
  /** Of whom a witness has heard so far: its place in v2 sync. */
  readonly since = new Map<UserName, string>();
  readonly erased = new Set<UserName>();
  /** Numbers of messages that were sent since the homeserver was backed up, and that were lost if it was restored: a client may have been told before. */
  readonly lost = new Set<number>();
  readonly #homeserver: Synapse;
  readonly #prefix: string;
  /** Names of rooms and events in the history → ids. */
  readonly #ids = new Map<string, string>();
  readonly #labels = new Map<string, string>();
  readonly #traits = new Map<string, Set<string>>();
  #ignored = new Map<UserName, Set<UserName>>();
  /** `#ignored` when the homeserver was backed up. */
  #ignoredThen = new Map<UserName, Set<UserName>>();
  #numbers = 0;
  #numbersThen = 0;

  private constructor({ homeserver, server, admin }: Servers) {
    worlds += 1;
    this.#prefix = `w${worlds}-`;
    this.#homeserver = homeserver;
    this.server = server;
    this.admin = admin;
  }

  static async open(servers: Servers): Promise<World> {
    const world = new World(servers);
    await world.server.start();
    await Promise.all(
      USERS.map(async (by) => {
        const witness = await servers.homeserver.users.registerUser(world.#prefix + by, "WITNESS");
        world.witnesses.set(by, witness);
        world.#labels.set(witness.userId, by);
        // To the polls of half of the users the homeserver gives the state after the timelines (T21).
        const features = { msc4222: USERS.indexOf(by) % 2 === 0 };
        await servers.admin.call("PUT", `/_synapse/admin/v1/experimental_features/${encodeURIComponent(witness.userId)}`, { features });
        await world.logIn(by, "PHONE");
      }),
    );
    return world;
  }

  async close(): Promise<void> {
    await this.server.start();
    const all = this.devices.map(({ by, user }) => [by, user.deviceId] as const);
    for (const [by, device] of all) await this.logOut(by, device).catch(() => {});
  }

  // ---- What steps name

  /** Whoever does it, through our server where that is up. */
  user(step: Step): TestUser {
    return this.deviceOf({ ...step, device: "PHONE" });
  }

  /** @throws where it is not logged in */
  deviceOf({ by, device }: Step): TestUser {
    const found = this.devices.find(({ by: whose, user }) => whose === by && user.deviceId === device);
    if (!found) throw new NotMade(`${by} has no device ${device}`);
    return this.server.isUp ? found.user.at(this.server.url) : found.user;
  }

  idOf(name: UserName | undefined): string {
    return this.witnesses.get(name ?? "alice")?.userId ?? "";
  }

  room(step: Step): string {
    return this.#id(step.room);
  }

  event(label: string | undefined): string {
    return this.#id(label);
  }

  #id(label: string | undefined): string {
    const id = this.#ids.get(label ?? "");
    if (id === undefined) throw new NotMade(`${label} was not made`);
    return id;
  }

  learn(label: string | undefined, id: string): void {
    if (label === undefined) return;
    this.#ids.set(label, id);
    this.#labels.set(id, label);
  }

  /** A room has something about it that differences may come of. */
  mark(room: string | undefined, trait: string): void {
    const traits = this.#traits.get(room ?? "") ?? new Set();
    this.#traits.set(room ?? "", traits.add(trait));
  }

  /** Of a room, or (`""`) of the whole world. */
  traits(room: string): readonly string[] {
    return [...(this.#traits.get(room) ?? []), ...(this.#traits.get("") ?? [])];
  }

  labelOf(id: string): string {
    return this.#labels.get(id) ?? id;
  }

  /** A text with the names of the history in place of ids. */
  inNames(text: string): string {
    return text.replace(/[!$@][^\s"|\\,/]+/g, (id) => this.labelOf(id));
  }

  // ---- What steps do

  /** The content of `m.ignored_user_list`, with or without the other. */
  ignoring({ by = "alice", whom = "alice" }: Step, isOn: boolean): Json {
    const ignored = this.#ignored.get(by) ?? new Set();
    this.#ignored.set(by, ignored);
    if (isOn) ignored.add(whom);
    else if (ignored.delete(whom)) this.mark("", `${by} ignores ${whom} no more`);
    return Object.fromEntries([...ignored].map((name) => [this.idOf(name), {}]));
  }

  ignoredBy(name: UserName): ReadonlySet<string> {
    return new Set([...(this.#ignored.get(name) ?? [])].map((one) => this.idOf(one)));
  }

  async logIn(by: UserName, device: string): Promise<void> {
    const user = await this.#homeserver.users.login(this.#prefix + by, device);
    await this.server.start();
    this.devices.push({ by, user, sent: [], live: FACES.map((face) => new Live(face, user).start(this.server.url)) });
  }

  async logOut(by: UserName, device: string): Promise<void> {
    const index = this.devices.findIndex((one) => one.by === by && one.user.deviceId === device);
    const [found] = index === -1 ? [] : this.devices.splice(index, 1);
    if (!found) throw new NotMade(`${by} has no device ${device}`);
    await Promise.all(found.live.map((one) => one.stop()));
    await found.user.at(this.server.isUp ? this.server.url : found.user.url).logout();
  }

  async tellDevice(step: Step, from: TestUser): Promise<void> {
    const device = this.devices.find(({ by, user }) => by === step.by && user.deviceId === step.device);
    if (!device) throw new NotMade(`${step.by} has no device ${step.device}`);
    await this.#tell(device, from, "test.message");
  }

  async #tell({ user, sent, live }: Device, from: TestUser, type: string): Promise<number> {
    for (const one of live) one.beganLate ||= one.beginnings === 0;
    this.#numbers += 1;
    const n = this.#numbers;
    sent.push(n);
    await from.sendToDevice(type, { [user.userId]: { [user.deviceId]: { n } } });
    return n;
  }

  async erase(by: UserName): Promise<void> {
    this.erased.add(by);
    this.mark("", "a user was erased");
    for (const device of this.devices.filter((one) => one.by === by)) {
      this.devices.splice(this.devices.indexOf(device), 1);
      await Promise.all(device.live.map((one) => one.stop()));
    }
    await this.admin.call("POST", `/_synapse/admin/v1/deactivate/${encodeURIComponent(this.idOf(by))}`, { erase: true });
    const room = () => this.admin.call<{ total: number }>("GET", `/_synapse/admin/v1/users/${encodeURIComponent(this.idOf(by))}/joined_rooms`);
    await this.until(async () => (await room()).total === 0);
  }

  async restartHomeserver(): Promise<void> {
    this.mark("", "restarted");
    await this.#homeserver.restart();
  }

  async backUpHomeserver(): Promise<void> {
    this.mark("", "restarted");
    await this.#homeserver.backUp();
    this.#ignoredThen = copyOf(this.#ignored);
    this.#numbersThen = this.#numbers;
  }

  /**
   * Nobody may have logged in since it was backed up. Ends when our server has seen the homeserver's positions: a handful of steps would bring them
   * past those of before, and what is lost by then is too little to be noticed (OPERATIONS, "When the homeserver is restored from a backup").
   */
  async restoreHomeserver(): Promise<void> {
    await this.server.start();
    await this.#homeserver.restore();
    // A poll after the restore, and the questions whether it is one.
    const at = new Date(Date.now() + SETBACK_MS);
    await this.until(() => this.server.hasPolledSince(at), "a poll after the restore");
    this.#ignored = copyOf(this.#ignoredThen);
    for (let n = this.#numbersThen + 1; n <= this.#numbers; n += 1) this.lost.add(n);
    // The witnesses' places in v2 sync are in its future.
    this.since.clear();
    this.mark("", "restarted");
    this.mark("", "restored");
  }

  /** @throws where it does not come true in `ms` */
  async until(isTrue: () => Promise<boolean> | boolean, what = "what was waited for", ms = UNTIL_MS): Promise<void> {
    for (const deadline = Date.now() + ms; !(await isTrue()); await delay(100)) {
      if (Date.now() > deadline) throw new Error(`${what} did not come`);
    }
  }

  /** Our server is up, and has what the homeserver has: what comes last by each way has come, to every client. What did not come in time. */
  async settle(): Promise<string[]> {
    await this.server.start();
    const beginnings = new Map(this.devices.flatMap(({ live }) => live.map((one) => [one, one.beginnings] as const)));
    const marks = new Map<Device, number>();
    for (const device of this.devices) marks.set(device, await this.#tell(device, device.user, MARK));
    const last = new Map<UserName, number>();
    for (const { by, user } of this.devices) {
      if (last.has(by)) continue;
      this.#numbers += 1;
      last.set(by, this.#numbers);
      await user.call("PUT", `/user/${encodeURIComponent(user.userId)}/account_data/${MARK}`, { n: this.#numbers });
    }
    const missing: string[] = [];
    for (const device of this.devices) {
      for (const live of device.live) {
        const data = () => live.view.accountData.get(` ${MARK}`)?.["content"] as { n?: number } | undefined;
        // Whose session has ended meanwhile (R11) may find that another reader of the device has acknowledged the message (R9).
        const hasHeard = () => live.face === "v4" || live.heard.has(marks.get(device) ?? 0) || live.beginnings !== beginnings.get(live);
        const isThere = () => data()?.n === last.get(device.by) && (hasHeard() || live.faults.length > 0);
        await this.until(isThere).catch(() => missing.push(`${device.by} ${device.user.deviceId} ${live.face}: what came last was not sent`));
      }
    }
    return missing;
  }
}

function copyOf(sets: ReadonlyMap<UserName, ReadonlySet<UserName>>): Map<UserName, Set<UserName>> {
  return new Map([...sets].map(([name, set]) => [name, new Set(set)]));
}
