/** `/.well-known/matrix/client`: the address that clients are told. */

import type { FastifyReply, FastifyRequest } from "fastify";
import { withMember, withObject } from "../wire/json-edit.ts";
import { editableRequest, readText } from "./json-answer.ts";
import type { Forwarder } from "./pass-through.ts";
import { BODY_HEADERS, clientHeaders } from "./proxy-headers.ts";

/** The member for the proxy of MSC3575, which some clients still use. */
const OLD_PROXY = "org.matrix.msc3575.proxy";

/** Whether a request is for the client's well-known file. */
export function asksWellKnown(method: string, segments: readonly string[]): boolean {
  return (method === "GET" || method === "HEAD" || method === "OPTIONS") && segments.join("/") === ".well-known/matrix/client";
}

/** A well-known file with our address in place of the homeserver's. @throws JsonSyntaxError if it is not an object */
export function withOwnAddress(text: string, publicUrl: string): string {
  const rest = withMember(text, OLD_PROXY, () => undefined);
  return withObject(rest, "m.homeserver", (homeserver) => withMember(homeserver, "base_url", () => JSON.stringify(publicUrl)));
}

export type WellKnownDeps = { readonly forwarder: Forwarder; readonly publicUrl: string; readonly signal: AbortSignal };

/** Serves the homeserver's file with our address in it; if it has none, a file with only our address. */
export async function serveWellKnown(request: FastifyRequest, reply: FastifyReply, deps: WellKnownDeps): Promise<unknown> {
  if (request.method === "OPTIONS") return reply.code(204).send();
  const file = await homeserversFile(request, deps);
  const body = file?.text ?? withOwnAddress("{}", deps.publicUrl);
  // Browsers' clients come from any origin, whatever the homeserver says.
  const headers = { ...file?.headers, "access-control-allow-origin": "*", "content-type": "application/json" };
  return reply.code(200).headers(headers).send(body);
}

async function homeserversFile(request: FastifyRequest, { forwarder, publicUrl, signal }: WellKnownDeps) {
  try {
    const answer = await forwarder.open(request.raw, { signal, ...editableRequest(request.raw) });
    const text = await readText(answer);
    if (answer.statusCode !== 200 || text === null) return null;
    return { text: withOwnAddress(text, publicUrl), headers: clientHeaders(answer.headers, BODY_HEADERS) };
  } catch (error) {
    // Unreachable, or not JSON: our own address is known nevertheless.
    request.log.debug({ reason: String(error) }, "The homeserver has no well-known file");
    return null;
  }
}
