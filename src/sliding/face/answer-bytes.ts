/**
 * An answer assembled from pieces: texts, and rooms that were written earlier and differ only in the ages of their events. Their JSON is neither
 * parsed nor serialized again.
 */

import { AGE_GAP } from "../../wire/event.ts";

/** Bytes with gaps for the ages of events. */
export type Fragment = {
  readonly bytes: Buffer;
  /** Pairs of numbers: where an age goes, and the time it counts from, ms since the epoch. */
  readonly ages: readonly number[];
};

export type Piece = string | Fragment;

const WIDTH = AGE_GAP.length;
const MAX_AGE = 10 ** WIDTH - 1;
const SPACE = 0x20;
const ZERO = 0x30;
/** Numbers are written in groups of digits that fit small integers. */
const GROUP = 10_000_000;
const GROUP_WIDTH = 7;

/** @param text with gaps for the ages of events, which were made at `agesFrom`, in the same order */
export function fragment(text: string, agesFrom: readonly number[]): Fragment {
  const bytes = Buffer.from(text);
  const ages: number[] = [];
  let at = bytes.indexOf(0);
  for (const from of agesFrom) {
    ages.push(at, from);
    bytes.fill(SPACE, at, at + WIDTH);
    at = bytes.indexOf(0, at + WIDTH);
  }
  return { bytes, ages };
}

/** @param now the time that ages refer to, ms since the epoch */
export function joinPieces(pieces: readonly Piece[], now: number): Buffer {
  let length = 0;
  for (const piece of pieces) length += typeof piece === "string" ? Buffer.byteLength(piece) : piece.bytes.length;
  const all = Buffer.allocUnsafe(length);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === "string") {
      at += all.write(piece, at);
      continue;
    }
    all.set(piece.bytes, at);
    const { ages } = piece;
    for (let i = 0; i < ages.length; i += 2) writeAge(all, at + (ages[i] ?? 0) + WIDTH, now - (ages[i + 1] ?? 0));
    at += piece.bytes.length;
  }
  return all;
}

/** Writes a number so that it ends just before `end`. */
function writeAge(bytes: Buffer, end: number, age: number): void {
  const bounded = Math.min(MAX_AGE, Math.max(0, age));
  const high = Math.floor(bounded / GROUP);
  if (high > 0) {
    writeDigits(bytes, writePadded(bytes, end, bounded - high * GROUP), high);
    return;
  }
  writeDigits(bytes, end, bounded);
}

function writeDigits(bytes: Buffer, end: number, value: number): void {
  let [at, left] = [end, value | 0];
  do {
    at -= 1;
    const rest = (left / 10) | 0;
    bytes[at] = ZERO + (left - rest * 10);
    left = rest;
  } while (left > 0);
}

/** Writes GROUP_WIDTH digits, padded with zeros. @returns where they begin */
function writePadded(bytes: Buffer, end: number, value: number): number {
  let left = value | 0;
  for (let at = end - 1; at >= end - GROUP_WIDTH; at -= 1) {
    const rest = (left / 10) | 0;
    bytes[at] = ZERO + (left - rest * 10);
    left = rest;
  }
  return end - GROUP_WIDTH;
}
