/** `syncv3 forget @user:server`: deletes an account or one of its devices here. The homeserver is not contacted, and its data stays. */

import type { ForgetSettings } from "../config/options.ts";
import { deleteAccount, deleteDevice } from "../store/devices.ts";
import { findDevices } from "../store/forget.ts";
import { goneWake } from "../feed/hub.ts";
import { wakeText } from "../feed/wake-text.ts";
import type { UserId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import { announce, COMMAND_NAME } from "./announce.ts";
import { lookIn } from "./look-in.ts";
import type { Maintenance } from "./maintenance.ts";

/** No such account or device is stored. The message is for the operator. */
export class NobodyThere extends Error {
  override readonly name = "NobodyThere";
}

/** The polling process notices by itself that the rows are gone; waiting requests are woken (T18). @throws NobodyThere, and what lookIn throws */
export async function forget(maintenance: Maintenance & { readonly settings: ForgetSettings }): Promise<void> {
  const { user, device } = maintenance.settings;
  await lookIn(maintenance, async (sql) => {
    const found = await findDevices(sql, user as UserId, device === undefined ? null : [indexKey(device)]);
    if (!found) throw new NobodyThere(`${user} has no account in this database. Check the user ID, and -db or -data`);
    if (device === undefined) await deleteAccount(sql, found.account);
    else {
      const [one] = found.devices;
      if (one === undefined) throw new NobodyThere(`${user} has no device ${device} in this database. Check the device ID`);
      await deleteDevice(sql, one);
    }
    await announce(maintenance, sql, [wakeText(COMMAND_NAME, goneWake(found.account))]);
  });
  const what = device === undefined ? `the account ${user}` : `the device ${device} of ${user}`;
  maintenance.say(
    `Deleted ${what}. Event bodies that no other account has are deleted by the next runs of retention. A client with a valid token starts from scratch`,
  );
}
