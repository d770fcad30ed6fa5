/** Parses the addresses and networks of `-trusted-proxies`. */

import { BlockList, isIP } from "node:net";

/** Parses `10.0.0.0/8, ::1`. Undefined: an item is neither an address nor a network. */
export function parseNetworks(text: string): string[] | undefined {
  const networks = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
  return networks.every(isNetwork) ? networks : undefined;
}

function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  try {
    new BlockList().addSubnet(address, /^\d+$/.test(bits) ? Number(bits) : -1, family === 6 ? "ipv6" : "ipv4");
    return true;
  } catch {
    return false;
  }
}
