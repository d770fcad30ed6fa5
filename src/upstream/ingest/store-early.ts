/** Stores single rooms of an account before its first sync (early-rooms.ts). The first sync is then compared with them, as after D26. */

import { commitWith, type Sql, writeTx } from "../../store/db.ts";
import { heldLeases, lockAccounts } from "../../store/ingest/device.ts";
import { readKnown } from "../../store/ingest/known.ts";
import { writeJoinedRooms, writeRooms } from "../../store/ingest/write.ts";
import type { AccountNo, DeviceNo, UserId } from "../../wire/ids.ts";
import { cutResponse } from "../../wire/v2-response.ts";
import { planRooms } from "./plan-rooms.ts";
import { touchedBy } from "./touched.ts";

export type EarlyInput = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  /** Of the account's lease. */
  readonly epoch: number;
  /** In how many rooms the user is. */
  readonly joined: number;
  /** The rooms, in the form of a v2 response. Its device parts and its `next_batch` are ignored. */
  readonly text: string;
  /** When it arrived, ms. */
  readonly now: number;
};

/** False: something of the account is stored already, or the lease is lost. Then nothing is written. */
export async function storeEarly(sql: Sql, input: EarlyInput): Promise<boolean> {
  const { account: no, device, userId, epoch, joined, now } = input;
  const response = cutResponse(input.text, now);
  return await writeTx(sql, async (tx) => {
    const [accounts, held, known] = await Promise.all([
      lockAccounts(tx, [no], "wait"),
      heldLeases(tx, [{ account: no, epoch }]),
      readKnown(tx, [{ account: no, touched: touchedBy(response, userId, true) }]),
    ]);
    const [account, found] = [accounts.get(no), known.get(no)];
    if (!account || !found || !held.has(no) || account.since !== null || account.complete || account.position > 0) return false;
    const { writes } = await planRooms(tx, { account: no, userId, now }, response, account, found);
    await commitWith(tx, [...writeRooms(tx, [{ account: no, device, since: null, writes }]), writeJoinedRooms(tx, no, joined)]);
    return true;
  });
}
