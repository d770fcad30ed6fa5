/** A JSON answer of the homeserver read whole, and handed on with its text edited. */

import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { Dispatcher } from "undici";
import { acceptsGzip } from "../base/accepts-gzip.ts";
import { badGateway } from "../wire/errors.ts";
import { JsonSyntaxError } from "../wire/json-scan.ts";
import { BODY_HEADERS, clientHeaders } from "./proxy-headers.ts";

/**
 * Edits the text of an answer that was read whole; null or the same text: the client gets the bytes that came. So it does where the edit
 * throws that the text is not JSON: then it is not ours to mend.
 */
export type Edit = (text: string) => string | null | Promise<string | null>;

/** An answer as the client gets it. */
export type EditedAnswer = { readonly headers: OutgoingHttpHeaders; readonly body: Readable };

/** The most that is read of an answer, as it comes and unpacked, in bytes. A larger answer is passed as it is. */
export type ReadLimits = { readonly bytes: number; readonly unpacked: number };

/** What is edited is small by nature: more than this is not what we are looking for. */
const SMALL: ReadLimits = { bytes: 1024 * 1024, unpacked: 8 * 1024 * 1024 };

const zip = promisify(gzip);
const unzip = promisify(gunzip);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * How a request asks for an answer that is to be edited: whole, whatever its client has of it already, and in an encoding that we can
 * read. HEAD becomes GET, as the length is told too.
 */
export function editableRequest(request: IncomingMessage): { readonly method?: "GET"; readonly headers: Readonly<Record<string, string | null>> } {
  const headers = {
    "accept-encoding": acceptsGzip(request.headers["accept-encoding"]) ? "gzip" : "identity",
    "if-none-match": null,
    "if-modified-since": null,
    "if-range": null,
    range: null,
  };
  return { headers, ...(request.method === "HEAD" && { method: "GET" as const }) };
}

/** Reads an answer and edits it. Throws MatrixError 502 where it breaks off. */
export async function editAnswer(answer: Dispatcher.ResponseData, edit: Edit, limits: ReadLimits = SMALL): Promise<EditedAnswer> {
  const body = await readWhole(answer.body, limits);
  const untouched = (whole: Readable) => ({ headers: clientHeaders(answer.headers), body: whole });
  if (!Buffer.isBuffer(body)) return untouched(body);
  const text = await textOf(body, encodingOf(answer), limits);
  const edited = text === null ? null : await applied(text, edit);
  if (edited === null || edited === text) return untouched(Readable.from([body]));
  const isPacked = encodingOf(answer) === "gzip";
  const bytes = isPacked ? await zip(edited) : Buffer.from(edited);
  const headers = { ...clientHeaders(answer.headers, BODY_HEADERS), ...(isPacked && { "content-encoding": "gzip" }), "content-length": bytes.length };
  return { headers, body: Readable.from([bytes]) };
}

/** The text of an answer's body; null where it is too large, or not a text that we can read. Throws MatrixError 502 where it breaks off. */
export async function readText(answer: Dispatcher.ResponseData, limits: ReadLimits = SMALL): Promise<string | null> {
  const body = await readWhole(answer.body, limits);
  if (Buffer.isBuffer(body)) return textOf(body, encodingOf(answer), limits);
  body.on("error", () => {}).destroy();
  return null;
}

async function applied(text: string, edit: Edit): Promise<string | null> {
  try {
    return await edit(text);
  } catch (error) {
    if (error instanceof JsonSyntaxError || error instanceof SyntaxError) return null;
    throw error;
  }
}

function encodingOf(answer: Dispatcher.ResponseData): string {
  const encoding = [answer.headers["content-encoding"] ?? []].flat().join(",").trim().toLowerCase();
  return encoding === "" ? "identity" : encoding;
}

async function textOf(bytes: Buffer, encoding: string, { unpacked }: ReadLimits): Promise<string | null> {
  if (encoding !== "gzip" && encoding !== "identity") return null; // we did not ask for it
  try {
    return utf8.decode(encoding === "gzip" ? await unzip(bytes, { maxOutputLength: unpacked }) : bytes);
  } catch {
    return null;
  }
}

/** The whole body, or all of it as a stream again where it is larger than that. */
async function readWhole(body: Readable, { bytes }: ReadLimits): Promise<Buffer | Readable> {
  const parts = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for (let part = await parts.next(); part.done !== true; part = await parts.next()) {
      chunks.push(part.value);
      size += part.value.length;
      if (size > bytes) return Readable.from(joined(chunks, parts), { objectMode: false });
    }
  } catch (error) {
    throw badGateway(`The homeserver's answer broke off: ${error instanceof Error ? error.message : String(error)}`);
  }
  return Buffer.concat(chunks, size);
}

async function* joined(chunks: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
  yield* { [Symbol.asyncIterator]: () => rest };
}
