/**
 * What a poller does next, and what changes that.
 *
 *     token ──loaded──> cursor ──loaded──> poll ──stored──> poll
 *       ^                 ^                 │
 *       │                 ├── stale, reset, failed, keys uploaded
 *       └──── bury <──────┴── unknown token
 *
 * Four states are enough: each names the one thing that the next step has to do. The rest of what a poller remembers are three counters and
 * whether it is in a hurry, and they change in the same table. The token and the cursor themselves are data of the poller: the table only
 * says when the cursor must be read again. A stopped poller leaves its loop in any state, so `stopped` is not in the table.
 */

import type { PollerEnd } from "./poller-types.ts";

/**
 * - bury: the homeserver does not know the token; record that, and never send it again (B57).
 * - token: load the newest live token of the device.
 * - cursor: load where the device and its account stand, unless that is known.
 * - poll: ask the homeserver, and store its answer.
 */
export type PollerState = "bury" | "token" | "cursor" | "poll";

/** What can happen in any state. */
export type CommonEvent =
  /** An error. */
  | "failed"
  /** A client uploaded keys of the device (T11): what is remembered of the device is older than that. */
  | "keys_uploaded"
  /** Somebody asks for presence, or nobody does any more. */
  | "filter_changed";

/** What can happen in one state alone. */
type StepEvents = {
  readonly bury: "buried";
  /** unusable: the stored token cannot be decrypted. */
  readonly token: "loaded" | "missing" | "unusable";
  /** missing: the device was deleted. */
  readonly cursor: "loaded" | "missing";
  readonly poll:
    /** The poll was cut short by us, so that another one can be sent at once. */
    | "interrupted"
    | "unknown_token"
    /** The homeserver refused `since`. `failed` or `reset` follows. */
    | "since_refused"
    /** The homeserver refused `since` twice in a row, and what was stored up to it was given up (D26). */
    | "reset"
    /** The homeserver answered. One of the events below, or `failed`, follows. */
    | "answered"
    | "stored"
    /** Stored, before a take-over: the answer had to-device messages. */
    | "queue_drained"
    /** Stored, before a take-over: the answer had no to-device messages. */
    | "queue_empty"
    /** The answer says nothing new and was not stored. */
    | "unchanged"
    /** What is stored is not what was polled from; nothing was written. */
    | "stale"
    /** After `stale`: another process polls the account. */
    | "lease_lost";
};

export type PollerEvent<S extends PollerState> = CommonEvent | StepEvents[S];

type Counters = {
  /** Polls in a row whose `since` the homeserver refused. */
  readonly badSinces: number;
  /** Answers in a row that were stale. */
  readonly stales: number;
  /** Polls in a row, before a take-over, that found the device's to-device queue empty. */
  readonly emptyQueues: number;
};

/** All that a poller remembers of what happened, except for its token and its cursor. */
export type PollerMemory = Counters & {
  readonly state: PollerState | PollerEnd;
  /** Ask with timeout=0: at first, and after errors. */
  readonly isHurried: boolean;
};

type Transition = {
  readonly to: PollerState | PollerEnd;
  /** The cursor is dropped, to be read from the database again. */
  readonly dropsCursor?: true;
  readonly sets?: Partial<Omit<PollerMemory, "state">>;
  readonly counts?: keyof Counters;
};

export const FIRST_MEMORY: PollerMemory = { state: "token", isHurried: true, badSinces: 0, stales: 0, emptyQueues: 0 };

const HURRIED = { isHurried: true };
const SUCCEEDED = { isHurried: false, stales: 0 };

/** Every state with every event that it can meet. The compiler demands each cell. */
export const TRANSITIONS: { readonly [S in PollerState]: Readonly<Record<PollerEvent<S>, Transition>> } = {
  bury: {
    buried: { to: "token", sets: HURRIED },
    failed: { to: "bury", dropsCursor: true, sets: HURRIED },
    keys_uploaded: { to: "bury", dropsCursor: true, sets: HURRIED },
    filter_changed: { to: "bury", sets: HURRIED },
  },
  token: {
    loaded: { to: "cursor" },
    missing: { to: "no_token" },
    unusable: { to: "unusable" },
    failed: { to: "token", dropsCursor: true, sets: HURRIED },
    keys_uploaded: { to: "token", dropsCursor: true, sets: HURRIED },
    filter_changed: { to: "token", sets: HURRIED },
  },
  cursor: {
    loaded: { to: "poll" },
    missing: { to: "deleted" },
    failed: { to: "cursor", dropsCursor: true, sets: HURRIED },
    keys_uploaded: { to: "cursor", dropsCursor: true, sets: HURRIED },
    filter_changed: { to: "cursor", sets: HURRIED },
  },
  poll: {
    interrupted: { to: "poll" },
    unknown_token: { to: "bury" },
    since_refused: { to: "poll", counts: "badSinces" },
    reset: { to: "cursor", dropsCursor: true, sets: { ...HURRIED, badSinces: 0, emptyQueues: 0 } },
    answered: { to: "poll", sets: { badSinces: 0 } },
    stored: { to: "poll", sets: SUCCEEDED },
    queue_drained: { to: "poll", sets: { ...SUCCEEDED, emptyQueues: 0 } },
    queue_empty: { to: "poll", sets: SUCCEEDED, counts: "emptyQueues" },
    unchanged: { to: "poll", sets: SUCCEEDED },
    stale: { to: "cursor", dropsCursor: true, counts: "stales" },
    lease_lost: { to: "stale" },
    // Whether a failed ingest was committed is not known: what is stored decides where to go on.
    failed: { to: "cursor", dropsCursor: true, sets: HURRIED },
    keys_uploaded: { to: "cursor", dropsCursor: true, sets: HURRIED },
    filter_changed: { to: "poll", sets: HURRIED },
  },
};

/** The memory after that event. */
export function advance<S extends PollerState>(memory: PollerMemory, state: S, event: PollerEvent<S>): PollerMemory {
  const { to, sets, counts }: Transition = TRANSITIONS[state][event];
  return { ...memory, ...sets, ...(counts && { [counts]: memory[counts] + 1 }), state: to };
}

/** Whether it is a state in which there is something to do, and not an end. */
export function isState(state: PollerMemory["state"]): state is PollerState {
  return Object.hasOwn(TRANSITIONS, state);
}
