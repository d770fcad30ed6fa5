/** A client as Element Web is one: matrix-js-sdk with its SlidingSync class and real end-to-end encryption. */

import "fake-indexeddb/auto";
import { setTimeout as delay } from "node:timers/promises";
import { silentJsLogger as logger } from "./js-logger.ts";
import {
  ClientEvent,
  createClient,
  EventTimeline,
  MatrixEventEvent,
  RoomEvent,
  RoomMemberEvent,
  RoomStateEvent,
  SlidingSyncEvent,
  SyncState,
} from "matrix-js-sdk";
import type { MatrixClient, Room } from "matrix-js-sdk";
import { SlidingSync, SlidingSyncState, type MSC3575List, type MSC3575SlidingSyncResponse } from "matrix-js-sdk/lib/sliding-sync.js";

/** After each of these something that a test waits for may have become true. */
const TELLING = [
  ClientEvent.Sync,
  ClientEvent.Event,
  ClientEvent.Room,
  ClientEvent.AccountData,
  RoomEvent.Timeline,
  RoomEvent.LocalEchoUpdated,
  RoomEvent.Receipt,
  RoomEvent.MyMembership,
  RoomMemberEvent.Typing,
  RoomStateEvent.Events,
  MatrixEventEvent.Decrypted,
] as const;

/** State that a room's entry in a list has. */
const LISTED_STATE = [
  ["m.room.create", ""],
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.tombstone", ""],
  ["m.room.member", "$ME"],
];

/** What an open room has; one member of it loads the others, so lazily, as `lazyLoadMembers` expects. */
const OPEN_ROOM = {
  timeline_limit: 20,
  required_state: [
    ["*", "*"],
    ["m.room.member", "$ME"],
    ["m.room.member", "$LAZY"],
  ],
};

const POLL_MS = 20_000;
const [READY_MS, READY_STEP_MS] = [20_000, 50];

/** What a log-in gave. */
export type JsLogin = { readonly url: string; readonly userId: string; readonly deviceId: string; readonly accessToken: string };

/** Logs a device in with the client's own call. */
export async function logInJs(url: string, user: string, password: string, deviceId: string): Promise<JsLogin> {
  const request = { type: "m.login.password", identifier: { type: "m.id.user", user }, password, device_id: deviceId };
  const answer = await createClient({ baseUrl: url, logger }).loginRequest(request);
  return { url, userId: answer.user_id, deviceId: answer.device_id, accessToken: answer.access_token };
}

/** A list of all rooms with a window of `size` rooms. */
export function listOf(size: number, filters: MSC3575List["filters"] = {}): MSC3575List {
  return { ranges: [[0, size - 1]], timeline_limit: 1, required_state: LISTED_STATE, filters };
}

export class JsClient {
  readonly client: MatrixClient;
  readonly #sync: SlidingSync;
  /** Sync answers so far, oldest first. */
  readonly answers: MSC3575SlidingSyncResponse[] = [];
  /** Syncs that were not answered with 200. */
  readonly failures: Error[] = [];

  private constructor(client: MatrixClient, sync: SlidingSync) {
    this.client = client;
    this.#sync = sync;
    sync.on(SlidingSyncEvent.Lifecycle, (state, answer, error) => {
      if (state !== SlidingSyncState.RequestFinished) return;
      if (answer) this.answers.push(answer);
      if (error) this.failures.push(error);
    });
  }

  /** Starts a client, with the device's keys in the store of its name. Two clients of one device must not run at once. */
  static async start(login: JsLogin, lists: Record<string, MSC3575List>): Promise<JsClient> {
    const { url: baseUrl, ...rest } = login;
    const client = createClient({ baseUrl, ...rest, logger, disableVoip: true, timelineSupport: true });
    await client.initRustCrypto({ cryptoDatabasePrefix: `js ${login.userId} ${login.deviceId}` });
    const slidingSync = new SlidingSync(baseUrl, new Map(Object.entries(lists)), OPEN_ROOM, client, POLL_MS);
    const started = new JsClient(client, slidingSync);
    await client.startClient({ slidingSync, lazyLoadMembers: true });
    return started;
  }

  stop(): void {
    this.client.stopClient();
    this.#sync.stop();
  }

  /** Whether the first answer is worked in. */
  isSynced(): boolean {
    return this.client.getSyncState() === SyncState.Syncing;
  }

  /** What the server says is the number of rooms of a list, whatever its window. */
  count(list: string): number | undefined {
    return this.#sync.getListData(list)?.joinedCount;
  }

  /** The rooms to be told of from now on, in a list's window or not. It interrupts the request that waits. */
  open(...roomIds: string[]): void {
    this.#sync.modifyRoomSubscriptions(new Set(roomIds));
  }

  room(roomId: string): Room | undefined {
    return this.client.getRoom(roomId) ?? undefined;
  }

  /** Names of the rooms that it knows, as it shows them. */
  roomNames(): string[] {
    return this.client.getRooms().map((room) => room.name);
  }

  /** Text of the messages in a room's timeline, decrypted where it can; oldest first. */
  texts(roomId: string): string[] {
    const events = this.room(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events.filter((event) => event.getType() === "m.room.message").map((event) => String(event.getContent()["body"]));
  }

  /** Decrypts what a room's timeline has; left alone, the client decrypts what it shows in the list. */
  async decrypt(roomId: string): Promise<void> {
    await this.room(roomId)?.decryptAllEvents();
  }

  /** Loads earlier messages of a room; whether its start is reached. */
  async older(roomId: string, count: number): Promise<boolean> {
    const room = this.room(roomId);
    if (room?.getLiveTimeline().getPaginationToken(EventTimeline.BACKWARDS) === null) return true;
    if (room) await this.client.scrollback(room, count);
    return false;
  }

  /** Resolves when it can send to an encrypted room: it is told of the encryption before its crypto has made itself ready for that, and says nothing when it has. */
  async readyToEncrypt(roomId: string): Promise<void> {
    const crypto = this.client.getCrypto() as unknown as { readonly roomEncryptors: Readonly<Record<string, unknown>> };
    for (const end = Date.now() + READY_MS; crypto.roomEncryptors[roomId] === undefined;) {
      if (Date.now() > end) throw new Error(`matrix-js-sdk is not ready to encrypt in ${roomId}`);
      // oxlint-disable-next-line no-await-in-loop -- there is no event to wait for
      await delay(READY_STEP_MS);
    }
  }

  /** What `found` makes of the client once it is there, at most `ms` later. */
  until<T>(found: () => T | undefined | false, ms = 60_000): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        for (const name of TELLING) this.client.off(name, look);
        end();
      };
      const look = (): void => {
        const result = found();
        if (result !== undefined && result !== false) settle(() => resolve(result));
      };
      const timer = setTimeout(() => {
        const last = JSON.stringify(this.answers.slice(-3));
        settle(() => reject(new Error(`not seen in ${ms} ms: ${found.toString()}; failures: ${this.failures.join()}; the last answers: ${last}`)));
      }, ms);
      for (const name of TELLING) this.client.on(name, look);
      look();
    });
  }
}
