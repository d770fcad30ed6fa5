/** `syncv3 end-sessions`: makes clients start from scratch, as they must if the database is older than what was sent to them (D26). */

import { endAllSessions } from "../store/sessions.ts";
import { counted } from "../base/counted.ts";
import type { Maintenance } from "./maintenance.ts";
import { whileStopped } from "./while-stopped.ts";

/** @throws what whileStopped throws */
export async function endSessions(maintenance: Maintenance): Promise<void> {
  const ended = await whileStopped(maintenance, (change) => change(endAllSessions));
  maintenance.say(
    `Ended ${counted(ended, "session or connection", "sessions and connections")}. Their clients start from scratch. No stored data was deleted`,
  );
}
