/** The text form, for a bus, of a wake-up or of a message between processes: ids only. */

import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import { isPresence, type Presence } from "../wire/presence.ts";
import type { Wake, WakeKind } from "./hub.ts";

/** NOTIFY takes 8000 bytes: above this limit the rooms are left out, which means that anything may have changed. */
const MAX_BYTES = 7000;

/** "!": I exist. "?": I exist; who else does? "*": what I sent before may be lost, so evaluate again. */
export type Word = "!" | "?" | "*";

type Payload = {
  readonly from: string;
  readonly h?: Word;
  readonly a: number;
  readonly d?: number | undefined;
  readonly k?: readonly WakeKind[] | undefined;
  readonly r?: readonly string[] | undefined;
  readonly s?: number | undefined;
  readonly c?: string | undefined;
  readonly q?: string | undefined;
  readonly p?: Presence | undefined;
};

/** `from`: the process's name, the same in all its texts. */
export function wordText(from: string, word: Word): string {
  return JSON.stringify({ from, h: word, a: 0 } satisfies Payload);
}

export function wakeText(from: string, wake: Wake): string {
  const base = { from, a: wake.account };
  if (wake.type === "connection") return JSON.stringify({ ...base, d: wake.device, c: wake.name, q: wake.request } satisfies Payload);
  if (wake.type === "presence") return JSON.stringify({ ...base, d: wake.device, c: wake.name, p: wake.presence } satisfies Payload);
  if (wake.type === "session") return JSON.stringify({ ...base, s: wake.session, q: wake.request } satisfies Payload);
  const news: Payload = { ...base, d: wake.device, k: wake.kinds && [...wake.kinds] };
  const full = JSON.stringify({ ...news, r: wake.rooms && [...wake.rooms] } satisfies Payload);
  return Buffer.byteLength(full) <= MAX_BYTES ? full : JSON.stringify(news);
}

/** The meaning of a text. Null: not one of ours. Anyone may write to a bus, and that must not end the process. */
export function readText(text: string): { readonly from: string; readonly says: Word | Wake } | null {
  let payload: Payload;
  try {
    payload = JSON.parse(text) as Payload;
  } catch {
    return null;
  }
  if (typeof payload !== "object" || typeof payload?.from !== "string" || typeof payload.a !== "number") return null;
  return { from: payload.from, says: payload.h ?? wakeOf(payload) };
}

function wakeOf(payload: Payload): Wake {
  const account = payload.a as AccountNo;
  const device = payload.d as DeviceNo;
  if (payload.c !== undefined && isPresence(payload.p)) return { type: "presence", account, device, name: payload.c, presence: payload.p };
  if (payload.c !== undefined) return { type: "connection", account, device, name: payload.c, request: payload.q ?? "" };
  if (payload.s !== undefined) return { type: "session", account, session: payload.s as SessionNo, request: payload.q ?? "" };
  return {
    type: "news",
    account,
    ...(payload.d !== undefined && { device }),
    ...(payload.k && { kinds: new Set(payload.k) }),
    ...(payload.r && { rooms: new Set(payload.r as RoomId[]) }),
  };
}
