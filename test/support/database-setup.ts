/** Once per test run: a PostgreSQL, and in it a migrated template that every test's own database is a copy of. */

import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import type { TestProject } from "vitest/node";

import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { parseDsn } from "../../src/config/dsn.ts";
import { connect, type DbOptions } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";

declare module "vitest" {
  interface ProvidedContext {
    database: { readonly options: DbOptions; readonly template: string };
  }
}

const CACHE = join(import.meta.dirname, "../../.cache/postgresql");
/** Nothing of a test run has to outlive a power cut. */
const QUICK = { fsync: "off", full_page_writes: "off", max_connections: "300" };

/** SYNCV3_TEST_DB (like `-db`) names a server to use, with a role that may make databases; else an embedded one is started. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env["SYNCV3_TEST_DB"];
  // One for each kind of tests: their setups run side by side.
  const directory = join(CACHE, `run-${process.pid}-${project.name}`);
  const embedded = given === undefined || given === "" ? await startEmbedded(directory) : undefined;
  const options = embedded?.options ?? parseDsn(given ?? "");
  const template = `syncv3_template_${randomBytes(6).toString("hex")}`;
  await withAdmin(options, `create database ${template}`);
  await migrate({ ...options, database: template });
  project.provide("database", { options, template });
  return async () => {
    if (embedded === undefined) await withAdmin(options, `drop database ${template} with (force)`);
    await embedded?.stop();
    await rm(directory, { recursive: true, force: true });
  };
}

/** A directory for each run, so that two runs in one checkout do not meet; what a killed run left is swept away. */
async function startEmbedded(directory: string) {
  await mkdir(CACHE, { recursive: true });
  for (const name of await readdir(CACHE)) {
    const pid = Number(name.split("-")[1]);
    if (!isAlive(pid)) await rm(join(CACHE, name), { recursive: true, force: true });
  }
  return startEmbeddedDatabase({ directory, settings: QUICK });
}

async function withAdmin(options: DbOptions, statement: string): Promise<void> {
  const sql = connect(options, 1);
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
