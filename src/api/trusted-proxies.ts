/** Which peers' X-Forwarded-… headers are trusted. */

import { BlockList, isIP } from "node:net";

/** Whether the peer at an address is a proxy of ours; undefined: the peer came over a unix socket. */
export type IsTrusted = (address: string | undefined) => boolean;

/** `list`: addresses and networks in CIDR notation, e.g. `10.0.0.0/8`, `::1`. Throws RangeError for anything else. */
export function trustedProxies(list: readonly string[]): IsTrusted {
  const blocks = new BlockList();
  for (const entry of list) {
    const [address = "", bits, ...rest] = entry.trim().split("/");
    const version = isIP(address);
    const family = version === 6 ? "ipv6" : "ipv4";
    const length = bits === undefined ? (version === 6 ? 128 : 32) : Number(bits);
    const isNetwork = version !== 0 && rest.length === 0 && /^\d*$/.test(bits ?? "") && bits !== "" && length <= (version === 6 ? 128 : 32);
    if (!isNetwork) throw new RangeError(`Not an address or network: ${entry}`);
    blocks.addSubnet(address, length, family);
  }
  // The permissions of a unix socket's file decide who may use it, so its peer is a proxy on this machine.
  return (address) => address === undefined || blocks.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
