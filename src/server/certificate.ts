/** The certificate where the server speaks TLS itself: read at the start, and again when it has been renewed. */

import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "../base/logger.ts";
import type { TlsFiles } from "../config/options.ts";

/** Files that are no certificate and its key. The message is for the operator. */
export class BadCertificate extends Error {
  override readonly name = "BadCertificate";
}

/** PEM texts. */
export type Certificate = { readonly cert: Buffer; readonly key: Buffer };

/** Between two looks whether it has been renewed, ms. */
const LOOK_MS = 60_000;

/** @throws BadCertificate */
export async function readCertificate({ cert, key }: TlsFiles): Promise<Certificate> {
  try {
    const read = { cert: await readFile(cert), key: await readFile(key) };
    createSecureContext(read);
    return read;
  } catch (error) {
    throw new BadCertificate(`-tls-cert, -tls-key: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Hands on what has been renewed. What cannot be used is told to the log, and the old one stays. Returns how to end it. */
export function watchCertificate(files: TlsFiles, use: (certificate: Certificate) => void, logger: Logger, everyMs = LOOK_MS): () => void {
  let seen: string | null = null;
  const look = async (): Promise<void> => {
    const marks = await Promise.all([files.cert, files.key].map(async (path) => (await stat(path)).mtimeMs));
    const now = marks.join(" ");
    const isNew = seen !== null && seen !== now;
    seen = now;
    if (!isNew) return;
    use(await readCertificate(files));
    logger.info({ path: files.cert }, "The certificate was renewed");
  };
  const tell = (error: unknown): void => logger.warn({ reason: (error as Error).message }, "The certificate cannot be read anew; the old one stays");
  look().catch(tell);
  const timer = setInterval(() => void look().catch(tell), everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
