/** Parses the address of NATS from `-bus`. */

import { BadUrl } from "./base-url.ts";

export type BusAddress = {
  /** `host:port` of each server. Any of them may be used. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Connect only over TLS. If false, TLS is used when the server asks for it. */
  readonly tls: boolean;
};

/**
 * Parses `nats://user:password@host:4222`, `nats://token@host` or `tls://host`. Several servers are separated by commas and share one scheme
 * and one set of credentials. Messages name `option` and never contain the credentials.
 * @throws BadUrl
 */
export function parseBusUrl(text: string, option: string): BusAddress {
  const parts = text.split(",").map((part) => part.trim());
  const [scheme = ""] = /^(nats|tls):\/\//.exec(parts[0] ?? "") ?? [];
  const urls = parts.map((part) => URL.parse(part.includes("://") ? part : `${scheme}${part}`));
  const servers: string[] = [];
  const credentials = new Map<string, Credentials>();
  for (const url of urls) {
    if (
      scheme === "" ||
      url === null ||
      `${url.protocol}//` !== scheme ||
      url.hostname === "" ||
      !["", "/"].includes(url.pathname + url.search + url.hash)
    ) {
      throw new BadUrl(`${option}: this is not a URL of the form nats://USER:PASSWORD@HOST:4222, nats://TOKEN@HOST or tls://HOST`);
    }
    servers.push(`${url.hostname}:${url.port || "4222"}`);
    if (url.username !== "") credentials.set(`${url.username}:${url.password}`, credentialsOf(url, option));
  }
  if (credentials.size > 1) throw new BadUrl(`${option}: all servers must have the same user and password, or the same token`);
  return { servers, ...[...credentials.values()][0], tls: scheme === "tls://" };
}

type Credentials = Pick<BusAddress, "user" | "pass" | "token">;

function credentialsOf({ username, password }: URL, option: string): Credentials {
  try {
    const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
    return pass === "" ? { token: user } : { user, pass };
  } catch {
    throw new BadUrl(`${option}: invalid percent-encoding in the user, password or token`);
  }
}
