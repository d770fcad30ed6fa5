/** Data that clients carry and give back (`since`, `next`, `pos`): authenticated, so that only what we issued is accepted, and URL-safe. */

import { timingSafeEqual } from "node:crypto";

/** Gives the authentication code of some bytes; the same in every process of an installation. */
export type Signer = (data: Buffer) => Buffer;

/** @param label what kind of text it is: one of another kind is not accepted in its place */
export function seal(label: string, data: Buffer, sign: Signer): string {
  return Buffer.concat([data, sign(labelled(label, data))]).toString("base64url");
}

/** The data of a sealed text; null: it is malformed, altered, of another kind or of another installation. */
export function unseal(label: string, text: string, sign: Signer): Buffer | null {
  const bytes = Buffer.from(text, "base64url");
  const macLength = sign(Buffer.alloc(0)).length;
  // One text for each sealed data: base64url has several spellings of the same bytes.
  if (bytes.length <= macLength || bytes.toString("base64url") !== text) return null;
  const data = bytes.subarray(0, -macLength);
  return timingSafeEqual(bytes.subarray(-macLength), sign(labelled(label, data))) ? data : null;
}

function labelled(label: string, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${label}\0`), data]);
}
