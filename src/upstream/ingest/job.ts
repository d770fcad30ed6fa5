/** A response that is being stored, and what is locked for it. */

import type { KnownDevice, LockedAccount } from "../../store/ingest/device.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import type { IngestInput } from "./ingest-result.ts";
import { messageHash } from "./plan-device.ts";
import { roundsOf } from "./rounds.ts";

/** A response to be stored. */
export type Job = {
  readonly input: IngestInput;
  readonly response: V2Response;
  /** See roundsOf: more than one if a room is in several sections. Such a job is stored in a separate transaction. */
  readonly rounds: readonly V2Response[];
  /** Rooms that are to be read from the homeserver, because the answer does not say which membership is the newest. */
  readonly unsure: readonly RoomId[];
  /** The hashes of response.toDevice, in its order. */
  readonly hashes: readonly string[];
  /** Hashes of to-device messages that are stored as bytes, because the database refuses their text (N3). */
  readonly asBytes: ReadonlySet<string>;
  /** Rooms that are not in `response` although the user is in them: they are set aside, or to be read one by one. */
  readonly missing: ReadonlySet<RoomId>;
};

export function jobOf(
  input: IngestInput,
  response: V2Response,
  { asBytes = new Set(), missing = new Set() }: Partial<Pick<Job, "asBytes" | "missing">> = {},
): Job {
  const { responses: rounds, unsure } = roundsOf(response, input.userId);
  const absent = new Set([...missing, ...(input.toRead ?? [])]);
  return { input, response, rounds, unsure, hashes: response.toDevice.map(messageHash), asBytes, missing: absent };
}

/** `others`: devices that are also given the response's device lists. */
export type Locked = { readonly account: LockedAccount; readonly device: KnownDevice; readonly others: readonly KnownDevice[] };
