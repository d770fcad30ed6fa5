/** Reads the body of an answer of the homeserver. */

import { createGunzip } from "node:zlib";
import type { Dispatcher } from "undici";
import type { Slots } from "../base/slots.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Answers above this size are large, bytes. */
const LARGE_BYTES = 32 * 1024 * 1024;

/** What an answer may be: the most that is read, unpacked, and whether it is a JSON list (else an object). */
export type Expected = {
  readonly maxBytes: number;
  readonly isList: boolean;
  /** Called with how many bytes of an answer have arrived, unpacked. */
  readonly received?: (bytes: number) => void;
};

/**
 * The body, unpacked, never more than the limit in memory. It is read to its end or destroyed, so that no connection leaks. `large`: for answers that
 * are large.
 */
export async function readBody(
  response: Dispatcher.ResponseData,
  path: string,
  { maxBytes, received }: Expected,
  large: Slots,
  signal: AbortSignal,
): Promise<string> {
  const { body } = response;
  const zipped = firstValue(response.headers["content-encoding"])?.toLowerCase() === "gzip";
  const gunzip = zipped ? createGunzip() : null;
  const stream = gunzip ? body.pipe(gunzip) : body;
  if (gunzip) body.on("error", (error) => gunzip.destroy(error));
  const chunks: Buffer[] = [];
  let size = 0;
  let leave: (() => void) | undefined;
  try {
    for await (const chunk of stream) {
      size += (chunk as Buffer).length;
      if (size > maxBytes)
        throw new UpstreamError("too_large", `the homeserver's answer to ${path} is larger than ${maxBytes} bytes`, {
          status: response.statusCode,
        });
      // While enough large answers are in memory, the rest of this one waits in the network.
      if (size > LARGE_BYTES) leave ??= await large.enter(signal);
      chunks.push(chunk as Buffer);
      received?.(size);
    }
  } finally {
    leave?.();
    gunzip?.destroy();
    body.destroy();
    body.on("error", () => {}); // destroying a body before its end reports an abort, which is of no use
  }
  return Buffer.concat(chunks, size).toString("utf8");
}

export function firstValue(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
