/**
 * Serves the page at `/client/`: files built from page/, from memory. A separate address also serves the API, but without media, because
 * files that users have uploaded must not share the page's origin.
 */

import { readdir, readFile } from "node:fs/promises";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { join } from "node:path";
import type { ListenAddress } from "../config/listen-address.ts";
import type { RoutePlugin } from "../http/route.ts";
import { listenAt, type OwnListener } from "./own-listener.ts";

const BASE = "/client/";
const INDEX = `${BASE}index.html`;
const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
};
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS = {
  "content-security-policy": CSP,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;
/** File names change with their contents, except index.html. */
const FOR_EVER = "public, max-age=31536000, immutable";

type File = { readonly body: Buffer; readonly type: string };
/** By path: `/client/index.html`. */
export type PageFiles = ReadonlyMap<string, File>;

/** The files of a directory that vite has built. @throws ENOENT if it does not exist */
export async function readPage(directory: string): Promise<PageFiles> {
  const names = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = await Promise.all(
    names.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      const url = BASE + path.slice(directory.length).replaceAll("\\", "/").replace(/^\//, "");
      return [url, { body: await readFile(path), type: TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream" }] as const;
    }),
  );
  return new Map(files);
}

/** Answers if the path belongs to the page; false: it does not. */
function answerPage(files: PageFiles, request: IncomingMessage, response: ServerResponse): boolean {
  const path = request.url?.split("?", 1)[0] ?? "";
  if (path === "/" || path === "/client") {
    response.writeHead(302, { location: BASE }).end();
    return true;
  }
  if (!path.startsWith(BASE)) return false;
  const file = files.get(path === BASE ? INDEX : path);
  if (!file || (request.method !== "GET" && request.method !== "HEAD")) {
    response.writeHead(file ? 405 : 404, { ...HEADERS, "content-type": "text/plain" }).end(file ? "Only GET is supported here\n" : "Not found\n");
    return true;
  }
  const isIndex = path === BASE || path === INDEX;
  response.writeHead(200, {
    ...HEADERS,
    "content-type": file.type,
    "content-length": file.body.length,
    "cache-control": isIndex ? "no-cache" : FOR_EVER,
  });
  response.end(request.method === "HEAD" ? undefined : file.body);
  return true;
}

/** Serves the page on the address of the API. */
export function pageRoutes(files: PageFiles): RoutePlugin {
  return (app) => {
    for (const url of ["/client", "/client/*"]) {
      app.get(url, (request, reply) => {
        reply.hijack();
        answerPage(files, request.raw, reply.raw);
      });
    }
  };
}

/** Serves the page and, on the same address, the API. @throws the error of `listen` */
export function listenForPage(address: ListenAddress, files: PageFiles, api: RequestListener): Promise<OwnListener> {
  return listenAt(address, BASE, (request, response) => {
    if (answerPage(files, request, response)) return;
    if (isForPage(request.url ?? "")) api(request, response);
    else response.writeHead(404, { ...HEADERS, "content-type": "text/plain" }).end("Not found: the page is at /client/\n");
  });
}

/** Whether the page needs this URL. Dots and double slashes are refused, so that a path cannot be read in two ways. */
function isForPage(url: string): boolean {
  const path = url.split("?", 1)[0] ?? "";
  if (path === "/openapi.json") return true;
  return path.startsWith("/_matrix/client/") && path.slice(1).split("/").every(isPlain);
}

function isPlain(segment: string): boolean {
  try {
    return !["", ".", "..", "media"].includes(decodeURIComponent(segment).toLowerCase());
  } catch {
    return false;
  }
}
