/**
 * What a token stands for besides its cursors: the sticky parameters (R6, D9), and the memory of each stream that has started.
 * Immutable: a change makes a new state, so that an old token is answered from the state that it had (D10).
 */

import { createHash } from "node:crypto";
import { canonicalJson } from "../base/canonical-json.ts";
import { isStreamKey } from "./streams/registry.ts";
import type { StreamKey, SyncParams } from "./params.ts";
import type { AnyStream, Memory, PageRequest } from "./streams/stream.ts";
import { isObject } from "../wire/identifier.ts";
import { type JsonObject, mergePatch } from "./merge.ts";

export type StreamState = { readonly selection: string; readonly memory: Memory };

export type SessionState = {
  readonly params: SyncParams;
  readonly streams: Readonly<Partial<Record<StreamKey, StreamState>>>;
};

export const EMPTY_STATE: SessionState = { params: {}, streams: {} };

/** A request, split into what is sticky (part of the state) and what counts only once (page requests, by stream). */
export type MergedRequest = {
  readonly params: SyncParams;
  readonly pages: ReadonlyMap<StreamKey, PageRequest>;
  /** Streams whose page one was asked for (R21). */
  readonly firstPages: ReadonlySet<StreamKey>;
};

const FIRST_PAGE = "1";
/** Streams with pages (part 3); `p` means nothing in others. */
const PAGINATED: ReadonlySet<StreamKey> = new Set(["room_members", "room_list"]);

/**
 * Merges a request's body into the sticky parameters: parameter by parameter, null restores a default, null for a stream ends
 * it (D9). Unknown streams are ignored (D5). `p.since` is never sticky.
 */
export function mergeRequest(state: SessionState, body: JsonObject): MergedRequest {
  const patch: Record<string, unknown> = {};
  const pages = new Map<StreamKey, PageRequest>();
  const firstPages = new Set<StreamKey>();
  for (const [key, value] of Object.entries(body)) {
    if (!isStreamKey(key)) continue;
    patch[key] = value;
    if (!PAGINATED.has(key) || !isObject(value) || !isObject(value["p"])) continue;
    const { since, ...sticky } = value["p"];
    patch[key] = { ...value, p: sticky };
    if (since === FIRST_PAGE) firstPages.add(key);
    else if (typeof since === "string") {
      const limit = sticky["limit"];
      pages.set(key, { since, limit: typeof limit === "number" ? limit : undefined });
    }
  }
  return { params: mergePatch(state.params, patch), pages, firstPages };
}

/** The memory with which a stream continues; undefined if it starts, because it is new or its selection changed (D13). */
export function memoryOf(state: SessionState, key: StreamKey, selection: string): Memory | undefined {
  const before = state.streams[key];
  return before && before.selection === selection ? before.memory : undefined;
}

/** The hash of a selection, which is short whatever the parameters are. */
export function selectionOf(stream: AnyStream, params: unknown): string {
  return createHash("sha256")
    .update(canonicalJson(stream.selection(params)))
    .digest("base64url")
    .slice(0, 16);
}

export function serializeState(state: SessionState): string {
  return canonicalJson(state);
}

export function parseState(text: string): SessionState {
  // Only serializeState writes it, so its shape is known.
  return text === "" ? EMPTY_STATE : (JSON.parse(text) as SessionState);
}
