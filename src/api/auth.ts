/** The owner of a request (R2, D2, D4): access tokens, proven by the homeserver's whoami. */

import { LRUCache } from "lru-cache";
import { withDeadline } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { Auth } from "../http/route.ts";
import type { UserId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import { accountLocked, badGateway, limitExceeded, MatrixError, missingToken, unknownToken } from "../wire/errors.ts";
import { Allowance } from "./limits.ts";
import { failureOf, type DeviceRef, type StoredToken, type TokenStore, type WhoamiClient, type WhoamiFailure } from "./ports.ts";

export type AuthenticatorDeps = {
  readonly tokens: TokenStore;
  readonly client: WhoamiClient;
  readonly secretBox: { hashToken(token: string): Buffer };
  readonly logger: Logger;
  /** Milliseconds; only differences count. How old a proof is, the store knows (T16). */
  readonly now: () => number;
  /** Ends verifications when the process ends. */
  readonly signal: AbortSignal;
};

/** The owner of a token, whether or not anything is stored of the device. `deviceId` is an index key (index-key.ts), as it is stored. */
export type Identity = { readonly userId: UserId; readonly deviceId: string; readonly tokenHash: Buffer };

/** The owner of a request, and how long ago its token was last proven, ms. */
export type Proven = Auth & { readonly provenAgoMs: number };

/** A proof is good for this long (D2). */
const PROOF_MS = 60_000;
/** A waiting request's token is proven again after this time, so that it is refused within PROOF_MS (T16). */
export const WAITING_PROOF_MS = 58_000;
/** A refused token is not verified again for this long, so that an insistent client does not overload the homeserver. */
const REFUSED_MS = 30_000;
/** If a token that was good cannot be verified, its requests are served without asking for this long. */
const TROUBLE_MS = 5_000;
/** How long the owner of a token that is not stored is remembered. */
const IDENTITY_MS = 600_000;
/** The longest that a request waits for whoami. */
const WHOAMI_MS = 10_000;
/** Tokens of one client address that turn out to be unknown to the homeserver: this many at once, and this many per second. */
const UNKNOWN = { most: 30, perSecond: 0.5 };

export class Authenticator {
  readonly #deps: AuthenticatorDeps;
  readonly #refused: LRUCache<string, MatrixError>;
  readonly #troubled: LRUCache<string, true>;
  readonly #identities: LRUCache<string, Identity>;
  readonly #verifying = new Map<string, Promise<StoredToken>>();
  readonly #unknown: Allowance<string>;

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
    const common = { ttlResolution: 0, perf: { now: deps.now } };
    this.#refused = new LRUCache({ max: 10_000, ttl: REFUSED_MS, ...common });
    this.#troubled = new LRUCache({ max: 10_000, ttl: TROUBLE_MS, ...common });
    this.#identities = new LRUCache({ max: 10_000, ttl: IDENTITY_MS, ...common });
    this.#unknown = new Allowance({ ...UNKNOWN, now: deps.now });
  }

  /**
   * The owner of a live token, with the account and device stored for it. Throws MatrixError: 401, 429, 502, or as the homeserver refused it.
   * `address`: the client's; null: not counted. An address that sent many unknown tokens causes no more questions to the homeserver for a while.
   */
  async verify(token: string, address: string | null = null): Promise<Proven> {
    const tokenHash = this.#deps.secretBox.hashToken(token);
    const key = tokenHash.toString("base64");
    const refused = this.#refused.get(key);
    if (refused) throw refused;
    const stored = await this.#deps.tokens.find(tokenHash);
    const isTroubled = this.#troubled.has(key);
    if (stored?.dead && stored.dead.agoMs < REFUSED_MS) throw unknownToken(stored.dead.softLogout);
    if (stored?.locked && (stored.locked.agoMs < REFUSED_MS || isTroubled)) throw accountLocked(stored.locked.body);
    const isGood = stored && !stored.dead && !stored.locked && (stored.provenAgoMs <= PROOF_MS || isTroubled);
    const proven = isGood
      ? stored
      : await this.#counted(stored ? null : address, () => this.#coalesce(key, () => this.#prove(token, tokenHash, key, stored)));
    const { account, device, userId, deviceId } = proven;
    const provenAgoMs = isGood && !isTroubled ? stored.provenAgoMs : 0;
    return { account, device, userId, deviceId, token, tokenHash, head: (isGood && stored.head) || null, provenAgoMs };
  }

  /**
   * Proves the token of waiting requests again, unless a poll or another request has proven it meanwhile (T16). How long ago it was proven, ms;
   * null: it is refused already, and whoever found that has woken them. Throws MatrixError as `verify`.
   */
  async reprove({ token, tokenHash }: Pick<Auth, "token" | "tokenHash">): Promise<number | null> {
    const key = tokenHash.toString("base64");
    const stored = await this.#deps.tokens.find(tokenHash);
    if (!stored || stored.dead || stored.locked) return null;
    if (stored.provenAgoMs < WAITING_PROOF_MS) return stored.provenAgoMs;
    await this.#coalesce(key, () => this.#prove(token, tokenHash, key, stored));
    return 0;
  }

  async #counted<T>(address: string | null, prove: () => Promise<T>): Promise<T> {
    if (address === null) return prove();
    // Spent before the outcome is known, so that many concurrent requests do not pass together.
    this.#unknown.spend(address);
    let isUnknown = false;
    try {
      return await prove();
    } catch (error) {
      isUnknown = error instanceof MatrixError && error.status === 401;
      throw error;
    } finally {
      if (!isUnknown) this.#unknown.giveBack(address);
    }
  }

  /** The owner of a token, or null if that cannot be said now. Writes nothing, and does not ask the homeserver about stored tokens. */
  async identify(token: string): Promise<Identity | null> {
    const tokenHash = this.#deps.secretBox.hashToken(token);
    const key = tokenHash.toString("base64");
    if (this.#refused.has(key)) return null;
    const stored = await this.#deps.tokens.find(tokenHash);
    if (stored && !stored.dead) return { userId: stored.userId, deviceId: stored.deviceId, tokenHash };
    const known = this.#identities.get(key);
    if (known) return known;
    if (this.#troubled.has(key)) return null;
    try {
      const identity = await this.#whoami(token, tokenHash);
      this.#identities.set(key, identity);
      return identity;
    } catch (error) {
      const failure = failureOf(error);
      if (!failure) throw error;
      if (failure.kind === "unknown_token") this.#refused.set(key, unknownToken(failure.softLogout));
      else this.#troubled.set(key, true);
      return null;
    }
  }

  /**
   * The homeserver has answered a request with this token, which proves it as well as a whoami (D2): homeservers check it when a request begins,
   * which was `agoMs` milliseconds ago.
   */
  async noteProof(token: string, identity: Identity, agoMs: number): Promise<DeviceRef> {
    const stored = await this.#deps.tokens.find(identity.tokenHash);
    if (stored?.dead && stored.dead.agoMs < agoMs) return stored;
    if (stored && !stored.dead) {
      if (stored.provenAgoMs - agoMs > PROOF_MS / 2) await this.#deps.tokens.proven(identity.tokenHash, agoMs);
      return stored;
    }
    return this.#deps.tokens.register({ token, hash: identity.tokenHash, userId: identity.userId, deviceId: identity.deviceId });
  }

  /** The homeserver has refused this token (401 M_UNKNOWN_TOKEN). */
  async noteRefusal(tokenHash: Buffer, softLogout: boolean): Promise<void> {
    this.forgetToken(tokenHash);
    this.#refused.set(tokenHash.toString("base64"), unknownToken(softLogout));
    await this.#deps.tokens.dead(tokenHash, softLogout);
  }

  /** Drops what is remembered of a token, e.g. because it was logged out. */
  forgetToken(tokenHash: Buffer): void {
    const key = tokenHash.toString("base64");
    this.#identities.delete(key);
    this.#troubled.delete(key);
  }

  async #prove(token: string, tokenHash: Buffer, key: string, stored: StoredToken | null): Promise<StoredToken> {
    let who: Identity;
    try {
      who = await this.#whoami(token, tokenHash);
    } catch (error) {
      const failure = failureOf(error);
      if (!failure) throw error;
      return this.#judge(failure, tokenHash, key, stored);
    }
    this.#troubled.delete(key);
    const { userId, deviceId } = who;
    if (stored && !stored.dead && stored.userId === userId && stored.deviceId === deviceId) {
      await this.#deps.tokens.proven(tokenHash, 0);
      if (stored.locked) await this.#deps.tokens.unlocked(stored.account);
      return stored;
    }
    const ref = await this.#deps.tokens.register({ token, hash: tokenHash, userId, deviceId });
    return { ...ref, userId, deviceId, provenAgoMs: 0, dead: null, locked: null };
  }

  /** What a failed whoami means. A refusal is final; other trouble is the client's only if the token was never proven (D4). */
  async #judge(failure: WhoamiFailure, tokenHash: Buffer, key: string, stored: StoredToken | null): Promise<StoredToken> {
    if (failure.kind === "unknown_token") {
      if (stored) await this.#deps.tokens.dead(tokenHash, failure.softLogout);
      throw this.#refuse(key, unknownToken(failure.softLogout));
    }
    if (failure.body !== null) {
      if (!stored) throw this.#refuse(key, accountLocked(failure.body));
      await this.#deps.tokens.locked(stored.account, failure.body);
      throw accountLocked(failure.body);
    }
    // The homeserver knows the token but does not serve it. A suspended account may sync (T17).
    if (failure.status === 401 || (failure.status === 403 && failure.errcode !== "M_USER_SUSPENDED")) {
      const extra = failure.softLogout ? { soft_logout: true } : {};
      throw this.#refuse(key, new MatrixError(failure.status, failure.errcode ?? "M_FORBIDDEN", "The homeserver refuses this access token", extra));
    }
    if (stored?.dead) throw unknownToken(stored.dead.softLogout);
    if (stored?.locked) {
      this.#troubled.set(key, true);
      throw accountLocked(stored.locked.body);
    }
    if (stored) {
      this.#deps.logger.warn(
        { reason: failure.message, device: stored.device },
        "A token cannot be verified at the moment; it is accepted because it was valid before",
      );
      this.#troubled.set(key, true);
      return stored;
    }
    if (failure.kind === "rate_limited") throw limitExceeded(failure.retryAfterMs ?? 1000, "The homeserver asks to wait");
    throw badGateway(`The access token cannot be verified: ${failure.message}`);
  }

  #refuse(key: string, error: MatrixError): MatrixError {
    this.#refused.set(key, error);
    return error;
  }

  async #whoami(token: string, tokenHash: Buffer): Promise<Identity> {
    const late = () => Object.assign(new Error(`the homeserver did not answer within ${WHOAMI_MS} ms`), { kind: "unreachable" });
    const who = await withDeadline(this.#deps.signal, WHOAMI_MS, late, (signal) => this.#deps.client.whoami(token, signal));
    // An old homeserver without device ids in whoami: each token counts as a device.
    const deviceId = who.deviceId ?? `syncv3_${tokenHash.toString("hex").slice(0, 16)}`;
    return { userId: who.userId, deviceId: indexKey(deviceId), tokenHash };
  }

  /** Of concurrent requests with one token, one asks and the others wait for its result. */
  #coalesce(key: string, prove: () => Promise<StoredToken>): Promise<StoredToken> {
    const running = this.#verifying.get(key);
    if (running) return running;
    const promise = prove().finally(() => this.#verifying.delete(key));
    this.#verifying.set(key, promise);
    return promise;
  }
}

/** The access token of a request to one of our own routes. Throws MatrixError 401 M_MISSING_TOKEN. */
export function requiredToken(authorization: string | undefined, query: URLSearchParams): string {
  const token = bearerToken(authorization);
  if (token !== null) return token;
  if (query.has("access_token"))
    throw missingToken("The access token must be in the Authorization header: the access_token parameter is not supported here");
  throw missingToken();
}

/** The token of `Authorization: Bearer …`, or null. */
export function bearerToken(authorization: string | undefined): string | null {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1] ?? null;
}
