/**
 * Passed requests that end something stored here: log-outs, deleted devices, deactivation, forgotten rooms (D2).
 * Once the homeserver confirms, our data is deleted before the client gets the answer.
 */

import type { Logger } from "../base/logger.ts";
import type { RoomId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import type { Authenticator, Identity } from "./auth.ts";
import type { Forgetting } from "./ports.ts";
import { clientSegments } from "./proxy-path.ts";

/** What a request ends if it succeeds. */
export type Ending =
  | { readonly kind: "logout" | "account" | "devices" }
  | { readonly kind: "device"; readonly deviceId: string }
  | { readonly kind: "room"; readonly roomId: string };

/** The largest request body that is read: `delete_devices` names its devices there. */
export const ENDING_BODY_BYTES = 1024 * 1024;

/** What a request would end; null: nothing. */
export function endingOf(method: string, target: string): Ending | null {
  const rest = clientSegments(target);
  if (!rest) return null;
  const [first, second, third] = rest;
  if (method === "DELETE" && first === "devices" && second !== undefined && rest.length === 2) return { kind: "device", deviceId: second };
  if (method !== "POST") return null;
  if (first === "logout" && rest.length === 1) return { kind: "logout" };
  if (first === "logout" && second === "all" && rest.length === 2) return { kind: "account" };
  if (first === "account" && second === "deactivate" && rest.length === 2) return { kind: "account" };
  if (first === "delete_devices" && rest.length === 1) return { kind: "devices" };
  if (first === "rooms" && third === "forget" && second !== undefined && rest.length === 3) return { kind: "room", roomId: second };
  return null;
}

export type EndingDeps = { readonly auth: Authenticator; readonly forgetting: Forgetting; readonly logger: Logger };

/**
 * Carries out what a request of `identity` with that `body` ended. Failures are only logged: the homeserver has done its part, and the poller will
 * find that the token is dead.
 */
export async function carryOut(deps: EndingDeps, ending: Ending, identity: Identity, body: Buffer): Promise<void> {
  const { forgetting, auth } = deps;
  if (ending.kind !== "room") auth.forgetToken(identity.tokenHash);
  try {
    const held = await forgetting.find(identity.userId, devicesOf(ending, identity, body));
    if (!held) return;
    if (ending.kind === "room") await forgetting.forgetRoom(held.account, ending.roomId as RoomId);
    else if (ending.kind === "account") await forgetting.forgetAccount(held.account);
    else for (const device of held.devices) await forgetting.forgetDevice(held.account, device);
  } catch (error) {
    deps.logger.error(
      { reason: error instanceof Error ? error.message : String(error), kind: ending.kind },
      "The data of a logged-out device, deactivated account or forgotten room could not be deleted",
    );
  }
}

function devicesOf(ending: Ending, identity: Identity, body: Buffer): readonly string[] {
  switch (ending.kind) {
    case "logout":
      return [identity.deviceId];
    case "device":
      return [indexKey(ending.deviceId)];
    case "devices":
      return namedDevices(body);
    case "account":
    case "room":
      return [];
  }
}

function namedDevices(body: Buffer): string[] {
  try {
    const value = JSON.parse(body.toString("utf8")) as { devices?: unknown } | null;
    return Array.isArray(value?.devices) ? value.devices.filter((one) => typeof one === "string").map(indexKey) : [];
  } catch {
    return [];
  }
}
