/** What the next poll asks for, and where the one after it begins. Pure. */

import type { PollState } from "../store/devices.ts";
import type { HomeserverAnswer } from "./client.ts";
import type { IngestInput } from "./ingest/ingest-result.ts";
import type { PollerMemory } from "./poller-state.ts";
import type { PollerJob } from "./poller-types.ts";
import type { SyncSize } from "./sync-size.ts";

/** Length of a long poll, ms. */
const POLL_MS = 30_000;
/** A take-over waits until so many polls in a row found the device's to-device queue empty. */
const EMPTY_QUEUES = 2;

/** Where polling continues. `unstored`: where the last of some answers ended that said nothing new, and were not stored; null: none. */
export type PollCursor = PollState & { readonly unstored: string | null };

export type PollPlan = {
  readonly since: string | null;
  readonly rooms: boolean;
  /** The answer may repeat to-device messages that are stored. */
  readonly overlap: boolean;
  /** Without rooms, to empty the device's to-device queue before a take-over. */
  readonly drain: boolean;
  /** ms */
  readonly timeout: number;
  readonly size: SyncSize;
};

/** `startedAt`: ms. */
export type SentPoll = { readonly plan: PollPlan; readonly presence: boolean; readonly startedAt: number };

/** `rooms`: whether the poller polls the account's rooms too. `size`: how much a poll of them asks for. */
export function planPoll(rooms: boolean, cursor: PollCursor, { isHurried, emptyQueues }: PollerMemory, size: SyncSize): PollPlan {
  const { accountSince, deviceSince, unstored } = cursor;
  const timeout = isHurried ? 0 : POLL_MS;
  const ofDevice = { rooms: false, overlap: deviceSince === null, size: "full" } as const;
  if (!rooms) return { ...ofDevice, since: unstored ?? deviceSince, drain: false, timeout };
  const isTakeOver = accountSince !== deviceSince;
  if (isTakeOver && emptyQueues < EMPTY_QUEUES) return { ...ofDevice, since: deviceSince, drain: true, timeout: 0 };
  return {
    since: unstored ?? accountSince,
    rooms: true,
    overlap: isTakeOver || accountSince === null,
    drain: false,
    timeout: isTakeOver ? 0 : timeout,
    size,
  };
}

/** The answer to a poll as ingest takes it. `beside`: what the poll asked for besides rooms, and what was asked for besides the poll. */
export function ingestInput(
  { account, device, epoch }: PollerJob,
  { userId, accountSince, deviceSince, keyUploads }: PollCursor,
  { rooms, overlap }: PollPlan,
  { text, receivedAt }: HomeserverAnswer,
  beside: Pick<IngestInput, "presence" | "toRead" | "lists">,
): IngestInput {
  return { account, device, userId, epoch, rooms, accountSince, deviceSince, overlap, keyUploads, ...beside, text, now: receivedAt };
}

/** After a stored answer. `rooms`, `presence`: what its poll asked for. */
export function cursorAfter(
  cursor: PollCursor,
  { rooms, presence, nextBatch }: { readonly rooms: boolean; readonly presence: boolean; readonly nextBatch: string },
): PollCursor {
  return {
    ...cursor,
    unstored: null,
    restored: false,
    deviceSince: nextBatch,
    ...(rooms && { accountSince: nextBatch }),
    ...(presence && { presenceSince: nextBatch }),
  };
}
