/** What an operator wants to know at a glance, for all accounts together. */

import type { Db } from "./db.ts";
import { readStalls, type Stalls } from "./stalls.ts";

export type Status = {
  readonly accounts: number;
  /** Accounts whose first v2 sync is not stored yet. */
  readonly starting: number;
  readonly devices: number;
  /** Devices without a token that the homeserver accepts, as far as is known. */
  readonly loggedOut: number;
  readonly polled: number;
  /** Processes that poll. */
  readonly pollers: number;
  /** Seconds since the homeserver last answered a poll, for the polled account where that is longest; null: nothing is polled. */
  readonly lag: number | null;
  readonly sessions: { readonly v3: number; readonly connection: number; readonly v2: number };
  /** To-device messages that are not acknowledged by all readers, of how many devices, and seconds since the oldest came. */
  readonly toDevice: { readonly messages: number; readonly devices: number; readonly oldest: number | null };
  readonly stalls: Stalls;
  /** Parts of responses that could not be stored. */
  readonly poison: number;
  readonly bytes: number;
};

/** Counts rows: a million to-device messages take a second. */
export async function readStatus(db: Db): Promise<Status> {
  const [[counts], [polling], [sessions], [queue], stalls] = await Promise.all([
    db<{ accounts: number; starting: number; devices: number; logged_out: number; poison: number; bytes: number }[]>`
      select (select count(*) from accounts) as accounts, (select count(*) from accounts where not complete) as starting,
        (select count(*) from devices) as devices,
        (select count(*) from devices d where not exists (select from tokens t where t.device = d.device and t.dead_at is null)) as logged_out,
        (select count(*) from poison) as poison, pg_database_size(current_database()) as bytes`,
    db<{ polled: number; pollers: number; lag: number | null }[]>`
      select count(*) as polled, count(distinct owner) as pollers, extract(epoch from max(now() - polled_at))::float8 as lag
      from leases where expires_at > now()`,
    db<{ v3: number; connection: number; v2: number }[]>`
      select count(*) filter (where kind = 'v3') as v3, count(*) filter (where kind = 'connection') as connection,
        count(*) filter (where kind = 'v2') as v2 from sessions`,
    db<{ messages: number; devices: number; oldest: number | null }[]>`
      select count(*) as messages, count(distinct device) as devices, extract(epoch from max(now() - received_at))::float8 as oldest from to_device`,
    readStalls(db),
  ]);
  if (!counts || !polling || !sessions || !queue) throw new Error("no row was returned");
  return {
    accounts: counts.accounts,
    starting: counts.starting,
    devices: counts.devices,
    loggedOut: counts.logged_out,
    ...polling,
    sessions,
    toDevice: queue,
    stalls,
    poison: counts.poison,
    bytes: counts.bytes,
  };
}
