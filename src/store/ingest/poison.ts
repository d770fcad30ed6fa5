/** Responses that could not be stored for their content. */

import { gzipSync } from "node:zlib";

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";

/** Keeps a response aside. `error` must hold nothing of its contents. */
export async function insertPoison(tx: Tx, account: AccountNo, device: DeviceNo, error: string, text: string): Promise<void> {
  await tx`insert into poison (account, device, error, body) values (${account}, ${device}, ${error}, ${gzipSync(text)})`;
}
