/** `syncv3 rotate-secret`: from one secret to another, without a user having to do anything. */

import { SecretBox } from "../base/secret-box.ts";
import type { RotateSettings } from "../config/options.ts";
import { endAllSessions } from "../store/sessions.ts";
import { resealTokens } from "../store/tokens.ts";
import { keptSecret, NextSecret } from "./secret.ts";
import type { Maintenance } from "./maintenance.ts";
import { whileStopped } from "./while-stopped.ts";

/** The old secret is another one. The message is for the operator. */
export class WrongSecret extends Error {
  override readonly name = "WrongSecret";
}

/**
 * Seals every access token with the new secret, and ends sessions and connections, whose tokens were signed with the old one: clients begin anew,
 * to-device messages wait for them. All of it or nothing; after a crash, run it again.
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
      throw new WrongSecret(`None of the ${result.unreadable} stored tokens was encrypted with the old secret that was named: nothing is changed`);
    });
    const path = await next?.takePlace();
    say(
      `${sealed} access tokens are encrypted with the new secret${path === undefined ? "" : `, which is in ${path}`}. All sessions have ended: clients begin anew`,
    );
    if (unreadable > 0) say(`${unreadable} others were encrypted with yet another one and stay so: their devices have to come with them again`);
    if (path === undefined) say("Start all servers with the new secret");
  });
}
