/** What the API needs from the rest of the program, as functions: it knows neither SQL nor the homeserver's client. */

import type { Auth } from "../http/route.ts";
import type { AccountNo, DeviceNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import type { UploadedKeys } from "../wire/key-counts.ts";
import type { PassInput, PassOutput, PassStart } from "../wire/passed-answer.ts";
import type { RoomSummaryParts } from "../wire/room-summary.ts";

/** One device of an account. */
export type DeviceRef = { readonly account: AccountNo; readonly device: DeviceNo };

/** A token that was verified at least once. */
export type StoredToken = DeviceRef & {
  readonly userId: UserId;
  readonly deviceId: string;
  /** How long ago the last proof was when this was read, ms by the store's clock: that of this process may differ (T16). */
  readonly provenAgoMs: number;
  /** Set if the homeserver has said that it does not know the token. */
  readonly dead: { readonly agoMs: number; readonly softLogout: boolean } | null;
  /** Set while the homeserver has the account locked (T17): its last answer, see accountLocked, and how long ago that was. */
  readonly locked: { readonly agoMs: number; readonly body: string } | null;
  /** See Auth. */
  readonly head?: Auth["head"];
};

/** `token` is sealed by the store. A new account or device is created; a dead token becomes live again, a locked account open. */
export type NewToken = { readonly token: string; readonly hash: Buffer; readonly userId: UserId; readonly deviceId: string };

export type TokenStore = {
  find(hash: Buffer): Promise<StoredToken | null>;
  register(token: NewToken): Promise<DeviceRef>;
  /** The homeserver accepted the token `agoMs` milliseconds ago. */
  proven(hash: Buffer, agoMs: number): Promise<void>;
  /** The homeserver has just refused the token. Requests that wait with it are answered (T16). */
  dead(hash: Buffer, softLogout: boolean): Promise<void>;
  /** The homeserver has just said that the account is locked. Its waiting requests are answered (T17). */
  locked(account: AccountNo, body: string): Promise<void>;
  /** The homeserver has just accepted a token of the account. */
  unlocked(account: AccountNo): Promise<void>;
};

/** See startPass and passAnswer of the store. */
export type PassQueue = {
  /** The device, if it was ever polled here (D1); otherwise null. */
  polledDevice(userId: UserId, deviceId: string): Promise<DeviceRef | null>;
  /** Null: the device is gone. */
  start(ref: DeviceRef, since: string | null): Promise<PassStart | null>;
  isWaiting(ref: DeviceRef, after: number): Promise<boolean>;
  /** Runs in one transaction. Null: the device is gone. */
  pass(ref: DeviceRef, answer: PassInput): Promise<PassOutput | null>;
};

/** Deletes what the homeserver no longer has, and stops pollers first (D2). */
export type Forgetting = {
  /** Which devices are stored; `deviceIds` null: all of them. Null: not even the account is. */
  find(userId: UserId, deviceIds: readonly string[] | null): Promise<{ readonly account: AccountNo; readonly devices: readonly DeviceNo[] } | null>;
  forgetDevice(account: AccountNo, device: DeviceNo): Promise<void>;
  forgetAccount(account: AccountNo): Promise<void>;
  forgetRoom(account: AccountNo, roomId: RoomId): Promise<void>;
};

/** The device of a user, if anything is stored of it; otherwise null. */
export type FindDevice = (userId: UserId, deviceId: string) => Promise<DeviceRef | null>;

/** Stores which events a device has sent. */
export type SentEventStore = {
  /** Storing the same event again changes nothing. */
  learned(sent: SentEvent): Promise<void>;
};
export type SentEvent = DeviceRef & { readonly eventId: string; readonly txnId: string };

/** Stores what is known of a device's keys, and resolves when that is done; a device that is gone is ignored. */
export type KeyUploadStore = { uploaded(ref: DeviceRef, keys: UploadedKeys): Promise<void> };

/**
 * The upstream token that a position of ours stands for. Null: the text only looks like a position. "unknown": the position is not this account's,
 * or no longer valid.
 */
export type UpstreamToken = (token: string, account: AccountNo) => string | null | Promise<string | null>;

/** A page of an account's thread subscriptions (MSC4308), as JSON, from a `from` of ours on; null: it is not ours. */
export type ThreadPages = (account: AccountNo, from: string, limit: number) => Promise<string | null>;

/** Positions of events in an account's stored history of a room (T20). `HistoryPlace` is opaque except for its named members. */
export type HistoryStore = {
  /** A client of the account has just read a room's history through this server. */
  noted(account: AccountNo): Promise<void>;
  /** null: the event is not stored for the account. */
  place(account: AccountNo, room: RoomId, event: EventId): Promise<HistoryPlace | null>;
  /** Which of the events are the one at `place` or newer. null: that is older than everything stored. */
  atOrAfter(account: AccountNo, room: RoomId, place: HistoryPlace | null, ids: readonly string[]): Promise<ReadonlySet<string>>;
};
/** See StoredEventPoint of the store. */
export type HistoryPlace = {
  readonly ord: number | null;
  readonly idx: number | null;
  readonly streamed: boolean;
  readonly earlier: string | null;
};

/** What is stored of an account's rooms, for endpoints that the homeserver lacks (M98). */
export type RoomStore = {
  /** null: the user is neither in the room, nor invited to it, nor has knocked, as far as is known here. */
  summary(account: AccountNo, room: RoomId): Promise<RoomSummaryParts | null>;
  /** Whom the user ignores (D25). */
  ignored(account: AccountNo): Promise<readonly UserId[]>;
};

/** The part of the homeserver's client that asks for its versions. Rejects if the answer is not a 200 with JSON. */
export type VersionsClient = {
  get(token: string | null, path: string, query: Readonly<Record<string, never>>, signal: AbortSignal): Promise<{ readonly text: string }>;
};

/** The part of the homeserver's client that proves tokens. Rejects with errors that `failureOf` reads. */
export type WhoamiClient = {
  whoami(token: string, signal: AbortSignal): Promise<{ readonly userId: UserId; readonly deviceId: string | null }>;
};

/** Why the homeserver did not say who a token belongs to. */
export type WhoamiFailure = {
  readonly kind: string;
  readonly message: string;
  readonly status: number | null;
  readonly errcode: string | null;
  readonly softLogout: boolean;
  /** Its answer if the account is locked; see accountLocked. */
  readonly body: string | null;
  readonly retryAfterMs: number | null;
};

/** The failure that a homeserver client's error stands for; null for any other error. */
export function failureOf(error: unknown): WhoamiFailure | null {
  if (!(error instanceof Error) || !("kind" in error) || typeof error.kind !== "string") return null;
  const { status, errcode, softLogout, body, retryAfterMs } = error as Partial<WhoamiFailure>;
  return {
    kind: error.kind,
    message: error.message,
    status: status ?? null,
    errcode: errcode ?? null,
    softLogout: softLogout ?? false,
    body: body ?? null,
    retryAfterMs: retryAfterMs ?? null,
  };
}
