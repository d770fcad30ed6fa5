/** Request bodies of our own routes (D5). */

import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { Turns } from "../base/turns.ts";
import { MatrixError, notJson, tooLarge } from "../wire/errors.ts";
import type { DeviceNo } from "../wire/ids.ts";

/** 1 MiB. */
const MAX_BODY_BYTES = 1024 * 1024;
/** The whole body must arrive within this time, ms: a client that sends it slowly holds a request that counts against everybody's limit. */
const BODY_MS = 30_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The body of a device's request as JSON, whatever its Content-Type; `{}` if it is empty. */
export async function readJsonBody(request: IncomingMessage, device: DeviceNo, maxBytes = MAX_BODY_BYTES, limitMs = BODY_MS): Promise<unknown> {
  const bytes = await readBody(request, maxBytes, limitMs);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw notJson("The request body is not UTF-8");
  }
  if (text.trim() === "") return {};
  if (bytes.length < LARGE_BYTES) return parsed(text);
  return largeBodies.run(device, async () => {
    const start = performance.now();
    const body = parsed(text);
    // Others get as much time as the body took, before the device's next large one and before this one is worked with.
    await delay(performance.now() - start);
    return body;
  });
}

/** Large bodies of a device are parsed one at a time: parsing cannot be interrupted. */
const largeBodies = new Turns<DeviceNo>();

/** Bodies of this size take milliseconds to parse. Those of well-behaved clients are far smaller. */
const LARGE_BYTES = 64 * 1024;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw notJson();
  }
}

/** All bytes of the body, at most `maxBytes` and within `limitMs`; more is not read. */
async function readBody(request: IncomingMessage, maxBytes: number, limitMs: number): Promise<Buffer> {
  // The connection cannot be reused, since the rest of the body is still coming.
  const refusal = () => new MatrixError(413, "M_TOO_LARGE", tooLarge().message, {}, { connection: "close" });
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw refusal();
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    const late = () => new MatrixError(408, "M_UNKNOWN", "The request body did not come in time", {}, { connection: "close" });
    const timer = setTimeout(() => settle(() => reject(late())), limitMs);
    const settle = (end: () => void) => {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd).off("error", onError).off("close", onError);
      end();
    };
    const onData = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes)
        settle(() => {
          request.pause();
          reject(refusal());
        });
    };
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks, size)));
    const onError = () => settle(() => reject(notJson("The request body was cut short")));
    request.on("data", onData).on("end", onEnd).on("error", onError).on("close", onError);
  });
}
