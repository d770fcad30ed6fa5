/** `syncv3 end-sessions`: clients begin anew, as they must where the database is older than what they were told (D26). */

import { endAllSessions } from "../store/sessions.ts";
import type { Maintenance } from "./maintenance.ts";
import { whileStopped } from "./while-stopped.ts";

/** @throws what whileStopped throws */
export async function endSessions(maintenance: Maintenance): Promise<void> {
  const ended = await whileStopped(maintenance, (change) => change(endAllSessions));
  maintenance.say(`${ended} sessions and connections have ended: clients begin anew. Nothing that was stored is deleted`);
}
