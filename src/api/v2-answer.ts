/** A v2 /sync response as bytes: its to-device messages are read and replaced, all other bytes stay the same. */

import { decodeString, eachElement, eachMember, expectEnd, skipSpace } from "../wire/json-scan.ts";

export type V2Answer = {
  readonly nextBatch: string;
  /** The texts of `to_device.events`, as received. */
  readonly messages: readonly string[];
  /** The response with other messages in place of its own. */
  withMessages(bodies: readonly string[]): Buffer;
};

/** Offsets in bytes. `start === end` if the part is missing; it is inserted there. */
type EventsSection = { readonly start: number; readonly end: number; readonly before: string; readonly after: string };

/** Reads a response; null: it is not a JSON object with a `next_batch`, or its to-device section is not as the spec has it. */
export function cutV2Answer(bytes: Buffer): V2Answer | null {
  // One character per byte: JSON's structure is ASCII, so offsets are bytes, and nothing is decoded unnecessarily.
  const text = bytes.toString("latin1");
  try {
    return cut(bytes, text);
  } catch {
    return null;
  }
}

function cut(bytes: Buffer, text: string): V2Answer | null {
  const open = skipSpace(text, 0);
  let batch: string | null = null;
  let section: { start: number; end: number } | null = null;
  let isEmpty = true;
  const end = eachMember(text, open, (key, start, valueEnd) => {
    isEmpty = false;
    if (key === "next_batch") batch = text[start] === '"' ? decode(bytes, start, valueEnd) : null;
    if (key === "to_device") section = { start, end: valueEnd };
  });
  expectEnd(text, end);
  const nextBatch = batch as string | null;
  if (nextBatch === null || isEmpty) return null;

  const found = section as { start: number; end: number } | null;
  const { place, messages } = found
    ? readSection(bytes, text, found.start)
    : { place: { start: open + 1, end: open + 1, before: '"to_device":{"events":', after: "}," }, messages: [] };
  return {
    nextBatch,
    messages,
    withMessages(bodies) {
      if (found === null && bodies.length === 0) return bytes;
      const list = Buffer.from(`${place.before}[${bodies.join(",")}]${place.after}`);
      return Buffer.concat([bytes.subarray(0, place.start), list, bytes.subarray(place.end)]);
    },
  };
}

function readSection(bytes: Buffer, text: string, start: number): { place: EventsSection; messages: string[] } {
  let events: EventsSection | null = null;
  let isEmpty = true;
  const messages: string[] = [];
  eachMember(text, start, (key, from, to) => {
    isEmpty = false;
    if (key !== "events") return;
    events = { start: from, end: to, before: "", after: "" };
    messages.length = 0; // the last of two members with the same name counts
    eachElement(text, from, (first, last) => void messages.push(bytes.toString("utf8", first, last)));
  });
  return { place: events ?? { start: start + 1, end: start + 1, before: '"events":', after: isEmpty ? "" : "," }, messages };
}

function decode(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start, end);
  return decodeString(text, 0, text.length);
}
