/** What the API asks of the rest of the program, as functions: it knows neither SQL nor the homeserver's client. */

import type { Auth } from "../http/route.ts";
import type { AccountNo, DeviceNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import type { UploadedKeys } from "../wire/key-counts.ts";

/** One device of an account. */
export type DeviceRef = { readonly account: AccountNo; readonly device: DeviceNo };

/** A token that was verified at least once. */
export type StoredToken = DeviceRef & {
  readonly userId: UserId;
  readonly deviceId: string;
  /** Last proof, ms since 1970. */
  readonly verifiedAt: number;
  /** Set where the homeserver has said that it does not know the token. */
  readonly dead: { readonly at: number; readonly softLogout: boolean } | null;
  /** See Auth. */
  readonly head?: Auth["head"];
};

/** `token` is sealed by the store. Account and device are made where they are new; a dead token becomes live again. */
export type NewToken = { readonly token: string; readonly hash: Buffer; readonly userId: UserId; readonly deviceId: string };

export type TokenStore = {
  find(hash: Buffer): Promise<StoredToken | null>;
  register(token: NewToken): Promise<DeviceRef>;
  /** The homeserver has just accepted the token. */
  proven(hash: Buffer, ref: DeviceRef): Promise<void>;
  /** The homeserver has just refused the token. */
  dead(hash: Buffer, softLogout: boolean): Promise<void>;
};

/** See startPass and passAnswer of the store. */
export type PassQueue = {
  /** The device, where we have polled it (D1); else null. */
  polledDevice(userId: UserId, deviceId: string): Promise<DeviceRef | null>;
  /** Null: the device is gone. */
  start(ref: DeviceRef, since: string | null): Promise<PassStart | null>;
  isWaiting(ref: DeviceRef, after: number): Promise<boolean>;
  /** One transaction. Null: the device is gone. */
  pass(ref: DeviceRef, answer: PassInput): Promise<PassOutput | null>;
};
export type PassStart = { readonly acknowledged: number; readonly upTo: number; readonly waiting: boolean };
export type PassInput = {
  readonly start: PassStart;
  readonly since: string | null;
  readonly nextBatch: string;
  readonly messages: readonly string[];
};
export type PassOutput = { readonly bodies: readonly string[]; readonly sentUpTo: number; readonly added: number };

/** Deletes what the homeserver no longer has, pollers first (D2). */
export type Forgetting = {
  /** Which of them we hold; `deviceIds` null: all. Null: not even the account. */
  find(userId: UserId, deviceIds: readonly string[] | null): Promise<{ readonly account: AccountNo; readonly devices: readonly DeviceNo[] } | null>;
  forgetDevice(account: AccountNo, device: DeviceNo): Promise<void>;
  forgetAccount(account: AccountNo): Promise<void>;
  forgetRoom(account: AccountNo, roomId: RoomId): Promise<void>;
};

/** The device of a user, where we hold anything of it; else null. */
export type FindDevice = (userId: UserId, deviceId: string) => Promise<DeviceRef | null>;

/** Keeps which events a device has sent. */
export type SentEventStore = {
  /** The same again changes nothing. */
  learned(sent: SentEvent): Promise<void>;
};
export type SentEvent = DeviceRef & { readonly eventId: string; readonly txnId: string };

/** Keeps what is known of a device's keys. Resolves when it is stored; nothing is stored for a device that is gone. */
export type KeyUploadStore = { uploaded(ref: DeviceRef, keys: UploadedKeys): Promise<void> };

/**
 * The upstream token that a position of ours stands for. Null: the text is no position of ours, though it looks like one. "unknown":
 * it is none of this account, or not any more.
 */
export type UpstreamToken = (token: string, account: AccountNo) => string | null | Promise<string | null>;

/** Where events stand in what an account has of a room's history (T20). `Place` is opaque here but for what is named. */
export type HistoryStore = {
  /** A client of the account has just read a room's history through this server. */
  noted(account: AccountNo): Promise<void>;
  /** null: the event is not stored for the account. */
  place(account: AccountNo, room: RoomId, event: EventId): Promise<HistoryPlace | null>;
  /** Which of the events are the one at `place` or newer; null: it is older than all that is stored. */
  atOrAfter(account: AccountNo, room: RoomId, place: HistoryPlace | null, ids: readonly string[]): Promise<ReadonlySet<string>>;
};
/** See StoredEventPoint of the store. */
export type HistoryPlace = {
  readonly ord: number | null;
  readonly idx: number | null;
  readonly streamed: boolean;
  readonly earlier: string | null;
};

/** The part of the homeserver's client that asks what it can. Rejects where there is no answer of status 200 that is JSON. */
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
  readonly retryAfterMs: number | null;
};

/** The failure that a homeserver client's error stands for; anything else that was thrown is no answer of a homeserver. */
export function failureOf(error: unknown): WhoamiFailure | null {
  if (!(error instanceof Error) || !("kind" in error) || typeof error.kind !== "string") return null;
  const { status, errcode, softLogout, retryAfterMs } = error as Partial<WhoamiFailure>;
  return {
    kind: error.kind,
    message: error.message,
    status: status ?? null,
    errcode: errcode ?? null,
    softLogout: softLogout ?? false,
    retryAfterMs: retryAfterMs ?? null,
  };
}
