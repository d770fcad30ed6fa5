/** What is done when the homeserver says that an account is locked (T17). */

import type { Logger } from "../base/logger.ts";
import { type Feed, goneWake } from "../feed/hub.ts";
import { lockAccount } from "../store/account-locks.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo } from "../wire/ids.ts";

export type LockDeps = { readonly sql: Sql; readonly feed: Pick<Feed, "publish">; readonly logger: Pick<Logger, "info"> };

/** Records it, and has the account's waiting requests answered. `body`: see UpstreamError. */
export async function noteLocked({ sql, feed, logger }: LockDeps, account: AccountNo, body: string): Promise<void> {
  if (!(await lockAccount(sql, account, body))) return;
  logger.info({ account }, "The homeserver has locked the account");
  feed.publish(goneWake(account));
}
