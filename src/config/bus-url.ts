/** Where NATS is, as `-bus` says it. */

import { BadUrl } from "./base-url.ts";

export type BusAddress = {
  /** `host:port`, any of which will do. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Only over TLS; else where the server asks for it. */
  readonly tls: boolean;
};

/**
 * `nats://user:password@host:4222`, `nats://token@host`, `tls://host`; several servers with commas between, the same scheme and credentials
 * for all. `option` is named in messages, which never show the credentials.
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
  if (credentials.size > 1) throw new BadUrl(`${option}: all servers are asked with the same user and password, or token`);
  return { servers, ...[...credentials.values()][0], tls: scheme === "tls://" };
}

type Credentials = Pick<BusAddress, "user" | "pass" | "token">;

function credentialsOf({ username, password }: URL, option: string): Credentials {
  try {
    const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
    return pass === "" ? { token: user } : { user, pass };
  } catch {
    throw new BadUrl(`${option}: bad percent-encoding in the user, password or token`);
  }
}
