/** Data that clients hold and return (`since`, `next`, `pos`). It is authenticated, so that only what we issued is accepted, and URL-safe. */

import { timingSafeEqual } from "node:crypto";

/** Computes the authentication code of some bytes; it is the same in every process of an installation. */
export type Signer = (data: Buffer) => Buffer;

/** @param label the kind of data, which a sealed text of another kind does not match */
export function seal(label: string, data: Buffer, sign: Signer): string {
  return Buffer.concat([data, sign(labelled(label, data))]).toString("base64url");
}

/** The data of a sealed text; null: it is malformed, altered, of another kind or from another installation. */
export function unseal(label: string, text: string, sign: Signer): Buffer | null {
  const bytes = Buffer.from(text, "base64url");
  const macLength = sign(Buffer.alloc(0)).length;
  // Accept one spelling only: base64url can write the same bytes in several ways.
  if (bytes.length <= macLength || bytes.toString("base64url") !== text) return null;
  const data = bytes.subarray(0, -macLength);
  return timingSafeEqual(bytes.subarray(-macLength), sign(labelled(label, data))) ? data : null;
}

function labelled(label: string, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${label}\0`), data]);
}
