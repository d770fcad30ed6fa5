/** The address that a request counts against. */

import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { IsTrusted } from "./trusted-proxies.ts";

/**
 * The client's address, for IPv6 its network (/64, which is what one customer has). null: there is none to count, since a proxy on this machine or
 * a trusted one did not say who asks. Of X-Forwarded-For, the last entry that is not a trusted proxy counts, since anybody can write what is before
 * it.
 */
export function clientAddress(
  { socket, headers }: Pick<IncomingMessage, "headers"> & { readonly socket: { readonly remoteAddress?: string | undefined } },
  isTrusted: IsTrusted,
): string | null {
  const peer = plain(socket.remoteAddress);
  if (!isTrusted(peer)) return peer === undefined || isLoopback(peer) ? null : networkOf(peer);
  const chain = [headers["x-forwarded-for"] ?? []].flat().join(",").split(",");
  for (const entry of chain.toReversed()) {
    const address = plain(entry.trim());
    if (address === undefined || isIP(address) === 0) return null;
    if (!isTrusted(address)) return networkOf(address);
  }
  return null;
}

/** An IPv4 address on an IPv6 socket is written as plain IPv4. */
function plain(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/i, "");
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  // The first four groups; `::` stands for as many zeros as are missing.
  const [head = "", tail] = address.toLowerCase().replace(/%.*$/, "").split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  return `${[...front, ...Array.from({ length: zeros }, () => "0"), ...back]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
