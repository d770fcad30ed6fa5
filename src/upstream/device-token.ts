/** The access token that a device is polled with. */

import { SealError, type SecretBox } from "../base/secret-box.ts";
import type { Sql } from "../store/db.ts";
import { newestLiveToken, openToken } from "../store/tokens.ts";
import type { DeviceNo } from "../wire/ids.ts";

/** `softLogout`: what the homeserver said when it refused the token, see markDead. */
export type DeviceToken = { readonly hash: Buffer; readonly text: string; readonly softLogout: boolean };

/** The device's newest live token. "missing": there is none. "unusable": it was encrypted with another secret. */
export async function loadDeviceToken(
  { sql, box }: { readonly sql: Sql; readonly box: SecretBox },
  device: DeviceNo,
): Promise<DeviceToken | "missing" | "unusable"> {
  const sealed = await newestLiveToken(sql, device);
  if (!sealed) return "missing";
  try {
    return { hash: sealed.tokenHash, text: openToken(box, sealed), softLogout: false };
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    return "unusable";
  }
}
