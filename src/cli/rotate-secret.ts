/** `syncv3 rotate-secret`: replaces the secret. Users do not have to do anything. */

import { SecretBox } from "../base/secret-box.ts";
import type { RotateSettings } from "../config/options.ts";
import { endAllSessions } from "../store/sessions.ts";
import { resealTokens } from "../store/tokens.ts";
import { counted } from "../base/counted.ts";
import { keptSecret, NextSecret } from "./secret.ts";
import type { Maintenance } from "./maintenance.ts";
import { whileStopped } from "./while-stopped.ts";

/** The given old secret is not the one in use. The message is for the operator. */
export class WrongSecret extends Error {
  override readonly name = "WrongSecret";
}

/**
 * Encrypts every access token with the new secret, and ends sessions and connections, because their tokens were signed with the old one.
 * Clients start from scratch, and their to-device messages wait for them. It is one transaction; after a crash, run the command again.
 * @throws WrongSecret, and what whileStopped and keptSecret throw
 */
export async function rotateSecret(maintenance: Maintenance & { readonly settings: RotateSettings }): Promise<void> {
  const { settings, say } = maintenance;
  await whileStopped(maintenance, async (change) => {
    const old = settings.secret ?? (await keptSecret(settings.data)).secret;
    const next = settings.secret === undefined ? await NextSecret.keep(settings.data, settings.newSecret ?? null) : null;
    const [from, to] = [new SecretBox(old), new SecretBox(next?.secret ?? settings.newSecret ?? "")];
    const { sealed, unreadable } = await change(async (tx) => {
      await endAllSessions(tx);
      const result = await resealTokens(tx, from, to);
      if (result.sealed > 0 || result.unreadable === 0) return result;
      throw new WrongSecret(
        `None of the ${result.unreadable} stored tokens was encrypted with the old secret that was given, so nothing was changed. Give the secret that the servers used`,
      );
    });
    const path = await next?.takePlace();
    say(
      `Encrypted ${counted(sealed, "access token")} with the new secret${path === undefined ? "" : `, which is now in ${path}`}. All sessions have ended, so clients start from scratch`,
    );
    if (unreadable > 0)
      say(
        `${counted(unreadable, "other token was", "other tokens were")} encrypted with a third secret and left unchanged. Polling of those devices resumes when their clients send a request`,
      );
    if (path === undefined) say("Start all servers with the new secret");
  });
}
