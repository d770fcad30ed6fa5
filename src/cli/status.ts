/** `syncv3 status`: how the server does, in a few lines. */

import { NOT_DUE, type Stalls } from "../store/stalls.ts";
import { readStatus, type Status } from "../store/status.ts";
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
    accounts: `${accounts}${starting > 0 ? `, ${starting} of them before their first sync is stored` : ""}`,
    devices: `${devices}${loggedOut > 0 ? `, ${loggedOut} of them without a token that is taken` : ""}`,
    polled: polled === 0 ? "nobody: no server is running, or no account was seen in 30 days" : `${polled} accounts, by ${pollers} processes`,
    lag: lag === null ? "–" : `${duration(lag)} since the homeserver last answered, of the account where it is longest`,
    stalled: stalledText(stalls),
    sessions: `${sessions.v3} of sync v3, ${sessions.connection} connections of sliding sync, ${sessions.v2} v2 clients`,
    "to-device":
      toDevice.messages === 0
        ? "none waits"
        : `${toDevice.messages} wait for ${toDevice.devices} devices, the oldest for ${duration(toDevice.oldest ?? 0)}`,
    "set aside": poison === 0 ? "nothing" : `${poison} parts of answers that could not be stored: see the log, and report it`,
    database: `${(bytes / 1e6).toFixed(0)} MB`,
  };
}

/** Accounts of which an answer is due, and does not come or cannot be stored. */
function stalledText({ oldest, accounts }: Stalls): string {
  const due = [...accounts].filter(([reason]) => !NOT_DUE.has(reason)).map(([reason, count]) => `${count} ${reason}`);
  return due.length === 0 ? "no account" : `${due.join(", ")}; the longest for ${duration(oldest)}: see the log`;
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
