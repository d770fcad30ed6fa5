/** The secret that is used if none is given: generated once and stored in the data directory. */

import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The file cannot be used: it is readable by others, or empty. */
export class BadSecretFile extends Error {
  override readonly name = "BadSecretFile";
}

/**
 * The text of `DIRECTORY/secret` (256 random bits, mode 0600), generated if there is none. Processes that start together get the same secret.
 * @throws BadSecretFile
 */
export async function keptSecret(directory: string): Promise<{ readonly secret: string; readonly path: string; readonly made: boolean }> {
  const path = join(directory, "secret");
  await mkdir(directory, { recursive: true, mode: 0o711 });
  const made = await makeSecret(path);
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) throw new BadSecretFile(`${path} can be read by other users. Run: chmod 600 ${path}`);
  const secret = (await readFile(path, "utf8")).trim();
  if (secret.length < 16)
    throw new BadSecretFile(`${path} contains no secret. Restore the file. If no token is stored yet, remove it: a new one is generated`);
  return { secret, path, made };
}

/** The next secret of `rotate-secret`. It is stored next to `DIRECTORY/secret` until it replaces it, and is the same again after a crash. */
export class NextSecret {
  readonly secret: string;
  readonly #directory: string;

  private constructor(directory: string, secret: string) {
    this.#directory = directory;
    this.secret = secret;
  }

  /** @param given null: generate one */
  static async keep(directory: string, given: string | null): Promise<NextSecret> {
    const path = join(directory, "secret.next");
    const earlier = await readFile(path, "utf8").catch(() => null);
    if (earlier !== null && earlier.trim().length >= 16 && (given === null || given === earlier.trim()))
      return new NextSecret(directory, earlier.trim());
    const secret = given ?? newSecret();
    await rm(path, { force: true });
    await writeFile(path, `${secret}\n`, { mode: 0o600, flush: true });
    return new NextSecret(directory, secret);
  }

  /** Makes it the secret from now on. Returns the path. */
  async takePlace(): Promise<string> {
    const path = join(this.#directory, "secret");
    await rename(join(this.#directory, "secret.next"), path);
    return path;
  }
}

function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** Writes a file under another name and links it, so that `path` is never partial and never replaces an existing file. */
async function makeSecret(path: string): Promise<boolean> {
  if (await stat(path).catch(() => undefined)) return false;
  const unfinished = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(unfinished, `${newSecret()}\n`, { mode: 0o600, flush: true });
  try {
    await link(unfinished, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(unfinished, { force: true });
  }
}
