/** The data of a user's receipt, `{"ts":…,"thread_id":…}`, as strict clients read it (N6). */

import { eachMember } from "./json-scan.ts";
import { isEventId } from "./matrix-id.ts";

/** The form that homeservers send, which needs no change. Groups: ts, thread; or thread, ts. */
const USUAL = /^\{(?:"ts":(0|[1-9]\d{0,14})(?:,"thread_id":"(main|\$[\w-]{1,100})")?|"thread_id":"(main|\$[\w-]{1,100})","ts":(0|[1-9]\d{0,14}))\}$/;

export type ReceiptData = {
  /** JSON text: `ts` is an integer, 0 or more, or absent; `thread_id` a text or absent; other members keep their bytes. */
  readonly text: string;
  /** `thread_id`; '' for an unthreaded receipt. */
  readonly thread: string;
  /** ms; 0 if it is unknown. */
  readonly ts: number;
};

/**
 * Reads receipt data: a `ts` that is not a time is left out, and so is a `thread_id` of null; `5.0` becomes 5. null: what the receipt is for
 * is unclear (not an object, or a `thread_id` that is not a text, or that starts with `$` and is not an event id).
 * @param text JSON, without white space around it
 */
export function readReceiptData(text: string): ReceiptData | null {
  const usual = USUAL.exec(text);
  return usual ? { text, thread: usual[2] ?? usual[3] ?? "", ts: Number(usual[1] ?? usual[4]) } : readUnusual(text);
}

/** Whether it has the form that homeservers send, and so can be sent. */
export function isUsualReceiptData(text: string): boolean {
  return USUAL.test(text);
}

function readUnusual(text: string): ReceiptData | null {
  if (!text.startsWith("{")) return null;
  const members = new Map<string, string>();
  let isSound = true;
  eachMember(text, 0, (key, start, end) => {
    // Strict parsers refuse duplicates, of which the last counts, and ill-formed keys.
    if (members.has(key) || !key.isWellFormed()) isSound = false;
    if (key.isWellFormed()) members.set(key, text.slice(start, end));
  });
  const parsed = (key: string): unknown => JSON.parse(members.get(key) ?? "null");
  const thread = parsed("thread_id") ?? "";
  if (typeof thread !== "string" || !thread.isWellFormed() || (thread.startsWith("$") && thread.includes(":") && !isEventId(thread))) return null;
  const time = parsed("ts");
  const ts = typeof time === "number" && Number.isSafeInteger(time) && time >= 0 ? time + 0 : null;
  const wanted: readonly (readonly [string, string | undefined])[] = [
    ["ts", ts === null ? undefined : String(ts)],
    ["thread_id", thread === "" ? undefined : members.get("thread_id")],
  ];
  for (const [key, value] of wanted) {
    if (members.get(key) === value) continue;
    isSound = false;
    if (value === undefined) members.delete(key);
    else members.set(key, value);
  }
  if (isSound) return { text, thread, ts: ts ?? 0 };
  const all = Array.from(members, ([key, value]) => `${JSON.stringify(key)}:${value}`);
  return { text: `{${all.join(",")}}`, thread, ts: ts ?? 0 };
}
