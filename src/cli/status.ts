/** `syncv3 status`: prints the state of the server in a few lines. */

import { NOT_DUE, type Stalls } from "../store/stalls.ts";
import { readStatus, type Status } from "../store/status.ts";
import { counted } from "../base/counted.ts";
import { lookIn } from "./look-in.ts";
import type { Maintenance } from "./maintenance.ts";

/** @throws what lookIn throws */
export async function status(maintenance: Maintenance): Promise<void> {
  const found = await lookIn(maintenance, readStatus);
  for (const [name, text] of Object.entries(linesOf(found))) maintenance.say(`${name.padEnd(13)}${text}`);
}

function linesOf({
  accounts,
  starting,
  devices,
  loggedOut,
  polled,
  pollers,
  lag,
  sessions,
  toDevice,
  stalls,
  poison,
  bytes,
}: Status): Record<string, string> {
  return {
    accounts: `${accounts}${starting > 0 ? `, ${starting} of them still in their first sync` : ""}`,
    devices: `${devices}${loggedOut > 0 ? `, ${loggedOut} of them without a valid token` : ""}`,
    polled:
      polled === 0
        ? "none: no server is running, or no client was seen for 30 days"
        : `${counted(polled, "account")} by ${counted(pollers, "process", "processes")}`,
    lag: lag === null ? "–" : `${duration(lag)} since the homeserver last answered, for the account with the longest wait`,
    stalled: stalledText(stalls),
    sessions: [
      counted(sessions.v3, "sync v3 session"),
      counted(sessions.connection, "sliding sync connection"),
      counted(sessions.v2, "v2 client"),
    ].join(", "),
    "to-device":
      toDevice.messages === 0
        ? "no messages waiting"
        : `${counted(toDevice.messages, "message")} waiting for ${counted(toDevice.devices, "device")}, the oldest for ${duration(toDevice.oldest ?? 0)}`,
    "set aside":
      poison === 0 ? "nothing" : `${counted(poison, "part", "parts")} of answers that could not be stored. See the log, and please report it`,
    database: `${(bytes / 1e6).toFixed(0)} MB`,
  };
}

/** Accounts for which an answer is due but does not come or cannot be stored. */
function stalledText({ oldest, accounts }: Stalls): string {
  const due = [...accounts].filter(([reason]) => !NOT_DUE.has(reason)).map(([reason, count]) => `${counted(count, "account")} (${reason})`);
  return due.length === 0 ? "none" : `${due.join(", ")}, the longest for ${duration(oldest)}. See the log`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
