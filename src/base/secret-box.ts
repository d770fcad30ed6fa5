/** Uses of the server's secret: encryption of access tokens at rest, their look-up keys, and signatures of sync tokens. */

import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes } from "node:crypto";

/** First byte of a sealed box, so that another algorithm can be distinguished one day. */
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A sealed box that cannot be opened: another secret, another context, or altered bytes. */
export class SealError extends Error {
  override readonly name = "SealError";
}

/** One secret, and one key derived from it for each use (HKDF-SHA-256), so that the output of one use is worthless in another. */
export class SecretBox {
  readonly #sealKey: KeyObject;
  readonly #hashKey: KeyObject;
  readonly #signKey: KeyObject;

  /** @throws RangeError for an empty secret. */
  constructor(secret: string) {
    if (secret.length === 0) throw new RangeError("The secret must not be empty");
    this.#sealKey = derive(secret, "syncv3 seal 1");
    this.#hashKey = derive(secret, "syncv3 token hash 1");
    this.#signKey = derive(secret, "syncv3 sign 1");
  }

  /** The look-up key of an access token: 32 bytes, HMAC-SHA-256. */
  hashToken(token: string): Buffer {
    return createHmac("sha256", this.#hashKey).update(token).digest();
  }

  /** AES-256-GCM of `plaintext`. `context` (e.g. the row it belongs to) is authenticated: a box moved elsewhere does not open. */
  seal(plaintext: string, context: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#sealKey, nonce);
    cipher.setAAD(Buffer.from(context));
    const body = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), body]);
  }

  /** The plaintext that was sealed. @throws SealError */
  open(box: Uint8Array, context: string): string {
    const bytes = Buffer.from(box.buffer, box.byteOffset, box.byteLength);
    if (bytes.length < 1 + NONCE_BYTES + TAG_BYTES || bytes[0] !== VERSION) throw new SealError("Not a sealed box");
    const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
    const tag = bytes.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
    const body = bytes.subarray(1 + NONCE_BYTES + TAG_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", this.#sealKey, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(tag);
    try {
      return Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8");
    } catch (error) {
      throw new SealError("The sealed box does not open: another secret, or changed bytes", { cause: error });
    }
  }

  /** A 16-byte signature (truncated HMAC-SHA-256) of `data`, for sync tokens. Compare with `timingSafeEqual`. */
  sign(data: Uint8Array): Buffer {
    return createHmac("sha256", this.#signKey).update(data).digest().subarray(0, 16);
  }
}

/** A key object is prepared once; raw bytes would be prepared at every use. */
function derive(secret: string, use: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync("sha256", secret, "", use, 32)));
}
