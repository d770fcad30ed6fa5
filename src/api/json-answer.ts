/** Reads a JSON answer of the homeserver in full, and passes it on with its text edited. */

import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { Dispatcher } from "undici";
import { acceptsGzip } from "../base/accepts-gzip.ts";
import { badGateway } from "../wire/errors.ts";
import { isObject } from "../wire/identifier.ts";
import { JsonSyntaxError } from "../wire/json-scan.ts";
import { BODY_HEADERS, clientHeaders } from "./proxy-headers.ts";

/**
 * Edits the text of a complete answer. null or the same text: the client gets the original bytes. So it does if the edit throws because the text is
 * not JSON, which is not ours to repair.
 */
export type Edit = (text: string) => string | null | Promise<string | null>;

/** An answer as the client gets it. */
export type EditedAnswer = { readonly headers: OutgoingHttpHeaders; readonly body: Readable };

/** The largest answer that is edited, in bytes before and after unpacking. Larger ones are passed unchanged. */
export type ReadLimits = { readonly bytes: number; readonly unpacked: number };

/** Edited answers are small by nature: anything larger is something else. */
const SMALL: ReadLimits = { bytes: 1024 * 1024, unpacked: 8 * 1024 * 1024 };

const zip = promisify(gzip);
const unzip = promisify(gunzip);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * How to request an answer that is to be edited: in full, whatever the client has cached, and in an encoding that we can read. HEAD becomes GET,
 * because the length changes too.
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

/** Reads an answer and edits it. Throws MatrixError 502 if it breaks off. */
export async function editAnswer(answer: Dispatcher.ResponseData, edit: Edit, limits: ReadLimits = SMALL): Promise<EditedAnswer> {
  const body = await readAll(answer.body, limits);
  const untouched = (stream: Readable) => ({ headers: clientHeaders(answer.headers), body: stream });
  if (!Buffer.isBuffer(body)) return untouched(body);
  const text = await textOf(body, encodingOf(answer), limits);
  const edited = text === null ? null : await applied(text, edit);
  if (edited === null || edited === text) return untouched(Readable.from([body]));
  const isPacked = encodingOf(answer) === "gzip";
  const bytes = isPacked ? await zip(edited) : Buffer.from(edited);
  const headers = { ...clientHeaders(answer.headers, BODY_HEADERS), ...(isPacked && { "content-encoding": "gzip" }), "content-length": bytes.length };
  return { headers, body: Readable.from([bytes]) };
}

/** The text of an answer's body; null: it is too large, or not text that we can read. Throws MatrixError 502 if it breaks off. */
export async function readText(answer: Dispatcher.ResponseData, limits: ReadLimits = SMALL): Promise<string | null> {
  const body = await readAll(answer.body, limits);
  if (Buffer.isBuffer(body)) return textOf(body, encodingOf(answer), limits);
  body.on("error", () => {}).destroy();
  return null;
}

/** The object that a text is; an empty one if it is none, or not JSON. */
export function parsedObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
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
  if (encoding !== "gzip" && encoding !== "identity") return null; // not asked for
  try {
    return utf8.decode(encoding === "gzip" ? await unzip(bytes, { maxOutputLength: unpacked }) : bytes);
  } catch {
    return null;
  }
}

/** The complete body; if it is larger than the limit, a stream of all of it. */
async function readAll(body: Readable, { bytes }: ReadLimits): Promise<Buffer | Readable> {
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
