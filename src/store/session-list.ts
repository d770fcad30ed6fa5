/** The sessions of a device as its user sees them (D20). */

import type { DeviceNo, SessionNo } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import { purgeToDevice } from "./to-device.ts";

/** `held`: stored to-device messages that this session, if it takes part, has not acknowledged. */
export type SessionRow = {
  readonly session: SessionNo;
  readonly kind: "v3" | "v2" | "sliding" | "connection";
  readonly created_at: Date;
  readonly used_at: Date;
  readonly position: number;
  readonly held: number;
};

/** The device's sessions, oldest first. */
export async function listSessions(db: Db, device: DeviceNo): Promise<SessionRow[]> {
  return db<SessionRow[]>`
    select session, kind, created_at, used_at, position,
      case when takes_part then (select count(*) from to_device t where t.device = s.device and t.seq > s.acked) else 0 end as held
    from sessions s where device = ${device} order by created_at, session`;
}

/** Ends a session of the device, and purges what only it held back. False: the device has no such session. */
export async function endSession(tx: Tx, device: DeviceNo, session: SessionNo): Promise<boolean> {
  // What it acknowledged counts until it is gone, so purge before and after it ends.
  await purgeToDevice(tx, device);
  const ended = await tx`delete from sessions where session = ${session} and device = ${device}`;
  if (ended.count === 0) return false;
  await purgeToDevice(tx, device);
  return true;
}
