/** `syncv3 forget @user:server`: an account, or a device of it, is deleted here. The homeserver is not asked, and keeps what it has. */

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

/** There is nothing of that name. The message is for the operator. */
export class NobodyThere extends Error {
  override readonly name = "NobodyThere";
}

/** Whoever polls it notices by itself that it is gone; requests that wait are woken (T18). @throws NobodyThere, and what lookIn throws */
export async function forget(maintenance: Maintenance & { readonly settings: ForgetSettings }): Promise<void> {
  const { user, device } = maintenance.settings;
  await lookIn(maintenance, async (sql) => {
    const found = await findDevices(sql, user as UserId, device === undefined ? null : [indexKey(device)]);
    if (!found) throw new NobodyThere(`There is no account of ${user} here`);
    if (device === undefined) await deleteAccount(sql, found.account);
    else {
      const [one] = found.devices;
      if (one === undefined) throw new NobodyThere(`${user} has no device ${device} here`);
      await deleteDevice(sql, one);
    }
    await announce(maintenance, sql, [wakeText(COMMAND_NAME, goneWake(found.account))]);
  });
  const what = device === undefined ? `All of ${user}` : `The device ${device} of ${user}`;
  maintenance.say(
    `${what} is deleted. Bodies of events that nobody else has go with the next runs of retention. A client that comes with a good token begins anew`,
  );
}
