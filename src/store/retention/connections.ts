/** Sliding sync connections that are idle: what they were sent is stored in short (see sliding/folded-state.ts). */

import { randomInt } from "node:crypto";
import type { AccountNo, SessionNo } from "../../wire/ids.ts";
import { readConnectionStates, type StoredState } from "../connections.ts";
import type { Tx } from "../db.ts";
import { before } from "./step.ts";

/** After how long, ms. */
const FOLD_AFTER_MS = 3_600_000;
/** Connections in one step: a client that comes back meanwhile waits for it. */
export const FOLD_BATCH = 5;
const MAX_MARK = 2 ** 31 - 1;

/** All states of a connection as one, oldest first. */
export type FoldStates = (states: readonly StoredState[]) => Promise<Buffer>;

/**
 * Folds up to FOLD_BATCH connections that have been idle for FOLD_AFTER_MS. The folded state gets a number of its own, and all that a client may
 * still continue from become the same as it. Returns how many were folded. Connections in use are left for the next time.
 */
export async function foldIdleConnections(tx: Tx, at: Date, fold: FoldStates): Promise<number> {
  const due = await tx<DueConnection[]>`
    select account, session, from_state from sessions
    where kind = 'connection' and folded <> state and used_at <= ${before(at, FOLD_AFTER_MS)}
    order by used_at limit ${FOLD_BATCH} for no key update skip locked`;
  for (const one of due) await foldConnection(tx, one, fold); // oxlint-disable-line no-await-in-loop -- one at a time: they are large
  return due.length;
}

type DueConnection = { readonly account: AccountNo; readonly session: SessionNo; readonly from_state: number };

async function foldConnection(tx: Tx, { account, session, from_state: from }: DueConnection, fold: FoldStates): Promise<void> {
  const { states } = await readConnectionStates(tx, account, session, from);
  // None can be read: nothing to fold, now or later.
  if (states.length === 0) return void (await tx`update sessions set folded = state where session = ${session}`);
  const folded = await fold(states);
  await tx`
    with numbered as (update sessions set state = state + 1, folded = state + 1 where session = ${session} returning state),
    ended as (delete from connection_states where session = ${session} and state < ${from}),
    same as (
      update connection_states c set base = n.state, body = null, folded = null from numbered n where c.session = ${session} and c.state >= ${from})
    insert into connection_states (session, state, mark, folded) select ${session}, state, ${randomInt(MAX_MARK)}, ${folded} from numbered`;
}
