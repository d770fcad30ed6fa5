/** Events in words. */

import type { MatrixEvent } from "../../packages/client/src/index.ts";

export function summaryOf({ type, content, state_key, unsigned }: MatrixEvent): string {
  if (unsigned?.["redacted_because"] !== undefined) return "(removed)";
  const { body, membership, name, topic } = content;
  if (type === "m.room.message") return typeof body === "string" ? body : "(removed)";
  if (type === "m.room.encrypted") return "(encrypted)";
  if (type === "m.room.member") return `${state_key}: ${typeof membership === "string" ? membership : "?"}`;
  if (type === "m.room.name") return `name: ${typeof name === "string" ? name : ""}`;
  if (type === "m.room.topic") return `topic: ${typeof topic === "string" ? topic : ""}`;
  return type;
}

export function timeOf(ts: number): string {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function sizeText(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(2)} MB`;
}
