/**
 * Passed uploads of one-time and fallback keys (T11). The homeserver's answer says how many keys there are now. The device's poll would say so up
 * to half a minute later, and until then clients would upload keys again and again.
 */

import { atMost } from "../base/at-most.ts";
import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import { isIdentifier, isObject } from "../wire/identifier.ts";
import type { UploadedKeys } from "../wire/key-counts.ts";
import type { DeviceRef, KeyUploadStore } from "./ports.ts";
import { clientSegments } from "./proxy-path.ts";

export type KeyUploadsOptions = {
  readonly store: KeyUploadStore;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  /** The longest that an answer waits for its counts to be stored, ms. Default 5 s. */
  readonly patienceMs?: number;
};

/** A body with 100 keys has about 30 kB. A larger one than this is passed, but its keys are not counted. */
export const UPLOAD_BODY_BYTES = 1024 * 1024;
/** The most algorithms in one upload; the specification has three. */
const MOST_ALGORITHMS = 20;
const FALLBACK_KEYS = ["fallback_keys", "org.matrix.msc2732.fallback_keys"] as const;

/** Whether a request is `POST …/keys/upload`, or the former `…/keys/upload/{deviceId}`; null: it is not. `deviceId` null: the token's. */
export function uploadOf(method: string, target: string): { readonly deviceId: string | null } | null {
  if (method !== "POST") return null;
  const path = clientSegments(target);
  if (!path || path[0] !== "keys" || path[1] !== "upload" || path.length > 3) return null;
  return { deviceId: path[2] || null };
}

export class KeyUploads {
  readonly #options: KeyUploadsOptions;

  constructor(options: KeyUploadsOptions) {
    this.#options = options;
  }

  /** The result of `find`; null if it fails or takes too long: an upload must not fail because of our database. */
  async find<T>(find: () => Promise<T | null>): Promise<T | null> {
    const found = await this.#patiently(find, "The device that uploads keys could not be determined; the key counts come with the next poll");
    return found ?? null;
  }

  /**
   * Stores what an upload and the homeserver's answer say, and has the device's poll sent again. `findDevice` null: nothing is stored of that
   * device. Failures are only logged: the client's keys are uploaded.
   */
  async learn(findDevice: () => Promise<DeviceRef | null>, body: Buffer, answer: string): Promise<void> {
    const keys = keysOf(body, answer);
    if (!keys) return;
    const learning = async (): Promise<void> => {
      const ref = await findDevice();
      if (!ref) return;
      await this.#options.store.uploaded(ref, keys);
      this.#options.feed.publish({ type: "news", ...ref, kinds: new Set(["key_counts", "keys_uploaded"]), rooms: new Set() });
    };
    await this.#patiently(learning, "The counts of uploaded keys could not be stored in time; they come with the next poll");
  }

  async #patiently<T>(work: () => Promise<T>, complaint: string): Promise<T | null> {
    const { logger, patienceMs = 5000 } = this.#options;
    try {
      const done = await atMost(work(), patienceMs);
      if (done !== "late") return done;
      logger.warn({}, complaint);
    } catch (error) {
      logger.warn({ reason: error instanceof Error ? error.message : String(error) }, complaint);
    }
    return null;
  }
}

/** null: the upload had no keys, or the answer has no counts. */
function keysOf(body: Buffer, answer: string): UploadedKeys | null {
  const counts = objectIn(parse(answer), "one_time_key_counts");
  const uploaded = parse(body.toString("utf8"));
  const fallbackTypes = new Set(FALLBACK_KEYS.flatMap((name) => Object.keys(objectIn(uploaded, name) ?? {}).map(algorithmOf)).filter(isIdentifier));
  const oneTimeKeys = Object.keys(objectIn(uploaded, "one_time_keys") ?? {});
  if (!counts || (oneTimeKeys.length === 0 && fallbackTypes.size === 0)) return null;
  const valid = Object.entries(counts).filter((entry): entry is [string, number] => isIdentifier(entry[0]) && isCount(entry[1]));
  return { counts: Object.fromEntries(valid.slice(0, MOST_ALGORITHMS)), fallbackTypes: [...fallbackTypes].slice(0, MOST_ALGORITHMS) };
}

/** The algorithm of a key id, `<algorithm>:<id>`. */
function algorithmOf(keyId: string): string {
  return keyId.split(":", 1)[0] ?? "";
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function objectIn(value: unknown, name: string): Record<string, unknown> | null {
  const member = isObject(value) ? value[name] : undefined;
  return isObject(member) ? member : null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
