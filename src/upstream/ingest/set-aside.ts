/**
 * Stores a response without the parts of it that cannot be stored (N3). Which parts these are is found by trying. A part is blamed only if
 * the rest can be stored by the same code. If not even `since` and the to-device messages can, the database or this server is at fault, and
 * the response waits unchanged.
 */

import { commitWith, type Sql, type Tx, writeTx } from "../../store/db.ts";
import { insertSetAside, markGaps, queueRereads, type Reread } from "../../store/ingest/set-aside.ts";
import type { Statement } from "../../store/ingest/statement.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { Failure } from "./failure.ts";
import { describe } from "./failure.ts";
import type { IngestResult } from "./ingest-result.ts";
import { keyOf, type Part, partsOf, roomsIn, textOfPart, withParts } from "./parts.ts";
import { fits, separate } from "./isolate-unstorable.ts";
import { type Job, jobOf } from "./job.ts";
import { storeJobs } from "./store-jobs.ts";

/** Time until what was set aside is requested for the first time, ms. */
const REREAD_MS = 60_000;

/** @throws `cause.error` if the response is not to blame; the database's error if it could not be asked */
export async function storeWithout(sql: Sql, job: Job, cause: { readonly error: unknown; readonly failure: Failure }): Promise<IngestResult> {
  const holds = (keep: ReadonlySet<Part>) =>
    fits(sql, (tx) => storeJobs(tx, [jobWith(job, keep)], "wait", async (_, queries) => void (await Promise.all(queries))));
  if (!(await holds(new Set()))) throw cause.error;
  const { good, bad } = await separate(partsOf(job.response, job.input.rooms), holds);
  const lost = bad.filter(({ kind }) => kind !== "to_device");
  const error = describe(cause.failure);
  // The room's row may be what cannot be written: then only reading the room again shows what is missing.
  const marksGaps = await fits(sql, (tx) => Promise.all(markGaps(tx, job.input.account, roomsOf(lost))));
  const finish = (tx: Tx, queries: readonly Statement[]) =>
    // Without queries the response is stale: nothing is written.
    commitWith(
      tx,
      queries.length === 0
        ? []
        : [...queries, ...writeAside(tx, job, lost, error), ...(marksGaps ? markGaps(tx, job.input.account, roomsOf(lost)) : [])],
    );
  const [result] = await writeTx(sql, (tx) => storeJobs(tx, [jobWith(job, good)], "wait", finish));
  if (result === undefined || result === "busy") throw new Error("no result of a single response");
  if (result.kind === "stale" || lost.length === 0) return result;
  return { ...result, batch: null, setAside: { error, parts: lost.length, rooms: roomsOf(lost) } };
}

/** The job with those parts alone. To-device messages are always stored, as bytes if their text is not among the parts. */
function jobWith({ input, response, hashes }: Job, parts: ReadonlySet<Part>): Job {
  const keep = new Set([...parts].map(keyOf));
  const asBytes = hashes.filter((hash) => !keep.has(keyOf({ kind: "to_device", name: hash })));
  return jobOf(input, withParts(response, keep), { asBytes: new Set(asBytes), missing: new Set(roomsIn(response)) });
}

function writeAside(tx: Tx, { input, response }: Job, lost: readonly Part[], error: string): Statement[] {
  const rows = lost.map((part) => ({ ...part, error, text: textOfPart(input.text, part, response) }));
  const rereads = lost.flatMap(({ kind, name }): Reread[] => (kind === "room" || kind === "account_data" ? [{ kind, name }] : []));
  return [...insertSetAside(tx, input.account, input.device, rows), ...queueRereads(tx, input.account, "set_aside", REREAD_MS, rereads)];
}

function roomsOf(parts: readonly Part[]): RoomId[] {
  return parts.flatMap(({ kind, name }) => (kind === "room" ? [name as RoomId] : []));
}
