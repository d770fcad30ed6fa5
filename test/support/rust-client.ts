/** A client on the Rust SDK (see `test/clients/rust`) in a process of its own, and what it shows its user. */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

import { passwordOf } from "./synapse-api.ts";

/** A room as the client's list has it. */
export type ListedRoom = {
  readonly room_id: string;
  readonly state: "joined" | "invited" | "knocked" | "left" | "banned";
  readonly name: string | null;
  readonly topic: string | null;
  readonly is_dm: boolean;
  readonly is_encrypted: boolean;
  readonly joined_count: number;
  readonly invited_count: number;
  /** Counted by the server. */
  readonly notification_count: number;
  readonly highlight_count: number;
  /** Counted by the client, of messages that it could read. */
  readonly unread_messages: number;
  /** Text of the newest message. */
  readonly latest: string | null;
};

/** An event as the client's timeline of an open room has it. */
export type ShownEvent = {
  readonly event_id: string | null;
  readonly sender: string;
  /** Sent by this client and not yet come back by sync. */
  readonly local_echo: boolean;
  readonly body: string | null;
  readonly encrypted: boolean;
  readonly undecryptable: boolean;
  readonly read_by: readonly string[];
};

/** All that the client shows at a moment. */
export class RustView {
  /** Of the sync loops. `offline`: the server cannot be reached, or answers with errors. */
  sync: "idle" | "running" | "terminated" | "error" | "offline" = "idle";
  /** In the order of the client's list. */
  rooms: readonly ListedRoom[] = [];
  readonly #timelines = new Map<string, readonly ShownEvent[]>();
  readonly #typing = new Map<string, readonly string[]>();

  room(roomId: string): ListedRoom | undefined {
    return this.rooms.find((room) => room.room_id === roomId);
  }

  /** Of a room that was opened, oldest first. */
  timeline(roomId: string): readonly ShownEvent[] {
    return this.#timelines.get(roomId) ?? [];
  }

  /** The event of an opened room with that text, once it has come from the server. */
  message(roomId: string, body: string): ShownEvent | undefined {
    return this.timeline(roomId).find((event) => event.body === body && !event.local_echo);
  }

  /** Who else types in an opened room. */
  typing(roomId: string): readonly string[] {
    return this.#typing.get(roomId) ?? [];
  }

  apply(event: ClientEvent): void {
    switch (event.event) {
      case "sync":
        this.sync = event.state;
        return;
      case "rooms":
        this.rooms = event.rooms;
        return;
      case "timeline":
        this.#timelines.set(event.room_id, event.events);
        return;
      case "typing":
        this.#typing.set(event.room_id, event.user_ids);
        return;
    }
  }

  toJSON(): unknown {
    return { sync: this.sync, rooms: this.rooms, timelines: Object.fromEntries(this.#timelines), typing: Object.fromEntries(this.#typing) };
  }
}

type ClientEvent =
  | { readonly event: "sync"; readonly state: RustView["sync"] }
  | { readonly event: "rooms"; readonly rooms: readonly ListedRoom[] }
  | { readonly event: "timeline"; readonly room_id: string; readonly events: readonly ShownEvent[] }
  | { readonly event: "typing"; readonly room_id: string; readonly user_ids: readonly string[] };
type ClientAnswer = { readonly id: number; readonly ok?: unknown; readonly error?: string };

export type RustLogin = {
  /** Base URL, or with `discover` the address of a server whose well-known file names it. */
  readonly homeserver: string;
  readonly discover?: boolean;
  /** A directory for everything that the client keeps. */
  readonly store: string;
  readonly name: string;
  /** Default: that of a user whom `HomeserverUsers` has registered. */
  readonly password?: string;
  readonly deviceId: string;
  /** Whether an address in the login answer replaces the one that was asked. */
  readonly respectWellKnown?: boolean;
};
export type RustSession = { readonly user_id: string; readonly device_id: string; readonly homeserver: string };

export class RustClient {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #answers = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #looks = new Set<() => void>();
  readonly #ended = Promise.withResolvers<never>();
  #lastId = 0;
  #stderr = "";
  readonly view = new RustView();

  /** `program`: as built by `cargoBuild`, or another client that is driven in the same way. */
  constructor(program: string, args: readonly string[] = []) {
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.on("data", (chunk: Buffer) => void (this.#stderr += chunk.toString()));
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#receive(JSON.parse(line) as ClientEvent | ClientAnswer));
    this.#child.once("error", this.#ended.reject);
    this.#child.once("close", (code) => this.#ended.reject(new Error(`the client ended with ${String(code)}:\n${this.#stderr}`)));
    // Whoever waits hears of it; nobody has to wait.
    this.#ended.promise.catch(() => {});
  }

  login(login: RustLogin): Promise<RustSession> {
    const { homeserver, discover = false, store, name, password = passwordOf(name), deviceId, respectWellKnown = false } = login;
    const user = { user: name, password, device_id: deviceId };
    return this.#do("login", { homeserver, discover, store, ...user, respect_well_known: respectWellKnown });
  }

  /** Goes on with the session of an earlier client with that store. */
  restore(homeserver: string, store: string): Promise<RustSession> {
    return this.#do("restore", { homeserver, store });
  }

  /** Begins to sync. */
  async start(): Promise<void> {
    await this.#do("start");
  }

  /** Subscribes to a room and shows its timeline; the one opened before is left. */
  async open(roomId: string): Promise<void> {
    await this.#do("open", { room_id: roomId });
  }

  /** Loads earlier events of the open room; whether its start is reached. */
  async older(count: number): Promise<boolean> {
    return (await this.#do<{ reached_start: boolean }>("older", { count })).reached_start;
  }

  /** Sends a text to the open room, encrypted where it has to be; what the timeline shows when it has come back by sync. */
  async send(roomId: string, body: string): Promise<ShownEvent> {
    await this.#do("send", { body });
    return this.until((view) => view.message(roomId, body));
  }

  /** Sends a read receipt for the newest event of the open room. */
  async markRead(): Promise<void> {
    await this.#do("mark_read");
  }

  async typing(typing: boolean): Promise<void> {
    await this.#do("typing", { typing });
  }

  /** Makes an encrypted room with another user; its id. */
  async createDm(userId: string): Promise<string> {
    return (await this.#do<{ room_id: string }>("create_dm", { user_id: userId })).room_id;
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.#do("invite", { room_id: roomId, user_id: userId });
  }

  async join(roomId: string): Promise<void> {
    await this.#do("join", { room_id: roomId });
  }

  async leave(roomId: string): Promise<void> {
    await this.#do("leave", { room_id: roomId });
  }

  /** Waits until what the client shows satisfies `found`, now or at a change; what `found` made of it. */
  async until<T>(found: (view: RustView) => T | undefined | false, ms = 60_000): Promise<T> {
    const result = Promise.withResolvers<T>();
    const look = (): void => {
      try {
        const made = found(this.view);
        if (made !== undefined && made !== false) result.resolve(made);
      } catch (error) {
        result.reject(error);
      }
    };
    const late = (): void =>
      result.reject(new Error(`nothing of what was waited for came in ${ms} ms: ${JSON.stringify(this.view)}\n${this.#stderr.slice(-4000)}`));
    const timer = setTimeout(late, ms);
    this.#looks.add(look);
    look();
    try {
      return await Promise.race([result.promise, this.#ended.promise]);
    } finally {
      clearTimeout(timer);
      this.#looks.delete(look);
    }
  }

  /** Ends it in good order, if it has not ended yet. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.stdin.end();
    await closed;
  }

  #do<T>(command: string, input: Readonly<Record<string, unknown>> = {}): Promise<T> {
    const id = (this.#lastId += 1);
    const answer = Promise.withResolvers<unknown>();
    this.#answers.set(id, answer);
    this.#child.stdin.write(`${JSON.stringify({ id, do: command, ...input })}\n`);
    return Promise.race([answer.promise, this.#ended.promise]) as Promise<T>;
  }

  #receive(line: ClientEvent | ClientAnswer): void {
    if ("event" in line) {
      this.view.apply(line);
      for (const look of this.#looks) look();
      return;
    }
    const answer = this.#answers.get(line.id);
    this.#answers.delete(line.id);
    if (line.error === undefined) answer?.resolve(line.ok);
    else answer?.reject(new Error(line.error));
  }
}
