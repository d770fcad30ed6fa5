/** Which address a request counts against. */

import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { IsTrusted } from "./trusted-proxies.ts";

/**
 * The client's address, of IPv6 its network (/64: what one customer has); null: there is none to count, as a proxy on this machine, or one
 * that is trusted, did not say who asks. Of X-Forwarded-For the last entry that no trusted proxy is: what stands before it anybody can write.
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

/** Without the form of an IPv4 address on an IPv6 socket. */
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
