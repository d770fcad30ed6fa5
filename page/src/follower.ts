/** The account, followed through one of the APIs. */

import { accountStatus, MatrixError } from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";
import { followSliding } from "./follow-sliding.ts";
import type { Follower } from "./followed.ts";
import { followV3 } from "./follow-v3.ts";
import * as model from "./model.ts";

export const PROTOCOLS = { v3: "Sync v3", simplified: "Simplified sliding sync", v4: "MSC4186 /v4/sync" } as const;
export type Protocol = keyof typeof PROTOCOLS;

/** Between two looks at how far the account is, while its first sync is under way and later, ms. */
const LOOK_MS = { first_sync: 2000, synced: 30_000 };

/** Follows until `signal` is aborted. `onEnd`: it ended by itself, with the reason. */
export async function follow(protocol: Protocol, account: Account, signal: AbortSignal, onEnd: (reason: MatrixError) => void): Promise<Follower> {
  model.reset();
  void watchAccount(account, signal);
  const follower = protocol === "v3" ? await followV3(account, signal) : await followSliding(protocol, account, signal);
  if (model.openId.value !== null) follower.open(model.openId.value);
  void (async () => {
    try {
      for await (const { answer, first } of follower.answers) {
        if (first) model.reset();
        model.trouble.value = null;
        follower.apply(answer);
      }
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
      onEnd(error);
    }
  })();
  return follower;
}

/** How far its first sync is, and whether its polls fail. */
async function watchAccount({ server }: Account, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const status = await accountStatus(server, signal).catch(() => null);
    model.firstSync.value = status?.state === "first_sync" ? status : null;
    model.stall.value = status?.trouble ?? null;
    if (status === null) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS[status.state]));
  }
}
