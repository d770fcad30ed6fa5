/** The certificate with which the server itself serves TLS: loaded at start-up, and again when it was renewed. */

import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "../base/logger.ts";
import type { TlsFiles } from "../config/options.ts";

/** The files are not a certificate and its key. The message is for the operator. */
export class BadCertificate extends Error {
  override readonly name = "BadCertificate";
}

/** PEM texts. */
export type Certificate = { readonly cert: Buffer; readonly key: Buffer };

/** The time between two checks for a renewed certificate, ms. */
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

/** Passes each renewed certificate to `use`. If it cannot be loaded, that is logged and the old one stays in use. Returns a function that stops the watch. */
export function watchCertificate(files: TlsFiles, use: (certificate: Certificate) => void, logger: Logger, everyMs = LOOK_MS): () => void {
  let seen: string | null = null;
  const look = async (): Promise<void> => {
    const marks = await Promise.all([files.cert, files.key].map(async (path) => (await stat(path)).mtimeMs));
    const now = marks.join(" ");
    const isNew = seen !== null && seen !== now;
    seen = now;
    if (!isNew) return;
    use(await readCertificate(files));
    logger.info({ path: files.cert }, "Loaded the renewed certificate");
  };
  const tell = (error: unknown): void =>
    logger.warn({ reason: (error as Error).message }, "The renewed certificate cannot be loaded; the old one stays in use");
  look().catch(tell);
  const timer = setInterval(() => void look().catch(tell), everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
