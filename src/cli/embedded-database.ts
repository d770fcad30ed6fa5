/**
 * The embedded PostgreSQL in the data directory, used if no `-db` is given.
 *
 *   DIR/postgresql/     the cluster. It is created under another name and then renamed, so a directory of this name is complete
 *   DIR/run/            Unix sockets that only the owner can open: PostgreSQL's, and the lock of the directory
 *
 * It listens on no network address. Whoever can open the socket can connect.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { silentLogger, type Logger } from "../base/logger.ts";
import { connect, type DbOptions } from "../store/db.ts";
import { lockDirectory } from "./directory-lock.ts";
import { stopOldServer } from "./old-server.ts";
import { findPostgres, type PostgresPrograms } from "./postgres-program.ts";
import { PostgresFailed, runPostgres, type PostgresProcess } from "./postgres-process.ts";
import { asUser, chooseRunAs, give, type Invocation, type RunAs } from "./run-as.ts";

/** The port in the socket's name. */
const PORT = 5432;
const DATABASE = "syncv3";
/** The longest path of a Unix socket on both Linux (108 bytes) and macOS (104 bytes), less the terminating zero. */
const LONGEST_SOCKET_PATH = 103;
/** How long an older server may take to stop. */
const OLD_SERVER_PATIENCE_MS = 30_000;

/** The running database. */
export type EmbeddedDatabase = {
  readonly options: DbOptions;
  /** The same address in libpq's keyword form, e.g. for psql. */
  readonly dsn: string;
  /** Fulfilled with the reason if the server ends and cannot be started again. Never rejected. */
  readonly failed: Promise<Error>;
  /** Stops the server and releases the directory. */
  stop(): Promise<void>;
};

export type EmbeddedDatabaseInput = {
  /** The data directory; created if it does not exist. */
  readonly directory: string;
  readonly logger?: Logger;
  /** Aborted: stop waiting for an older server. */
  readonly signal?: AbortSignal;
  /** Further server settings, e.g. `{ fsync: "off" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Called before something that takes seconds. */
  readonly onProgress?: (text: string) => void;
};

/** The data directory belongs to another PostgreSQL version. */
export class WrongVersion extends Error {
  override readonly name = "WrongVersion";
}

/**
 * Starts the database in `directory` and creates it the first time. An older server whose syncv3 is gone is stopped; if its processes are
 * still ending (after a kill -9), this waits for them. A server that ends by itself is started again.
 * @throws DirectoryInUse, WrongVersion, NoPostgres, PostgresFailed
 */
export async function startEmbeddedDatabase(input: EmbeddedDatabaseInput): Promise<EmbeddedDatabase> {
  const logger = input.logger ?? silentLogger();
  const programs = await findPostgres();
  await mkdir(input.directory, { recursive: true, mode: 0o711 });
  const directory = await realpath(input.directory);
  const cluster = join(directory, "postgresql");
  const user = await chooseRunAs(cluster);
  // Another user has to pass through this directory. Secret files in it have modes of their own.
  if (user !== undefined) await chmod(directory, (await stat(directory)).mode | 0o111);
  const run = await socketDirectory(directory, user);
  const lock = await lockDirectory(join(run, "owner"));
  try {
    if (!(await exists(cluster))) await initialise(programs, cluster, user, input.onProgress);
    await checkVersion(programs, cluster);
    await stopOldServer(cluster, join(run, `.s.PGSQL.${PORT}.lock`), logger, input.signal);
    const settings = {
      listen_addresses: "",
      unix_socket_directories: run,
      unix_socket_permissions: "0700",
      max_connections: "100",
      ...input.settings,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const invocation = asUser(user, programs.postgres, ["-D", cluster, "-p", String(PORT), ...flags], [cluster]);
    const server = await keepRunning(invocation, cluster, logger, input.signal);
    const options: DbOptions = { path: join(run, `.s.PGSQL.${PORT}`), database: DATABASE, username: DATABASE };
    await createDatabase(options);
    return {
      options,
      dsn: `host=${quote(run)} port=${PORT} user=${DATABASE} dbname=${DATABASE}`,
      failed: server.failed,
      stop: async () => {
        await server.stop();
        await lock.release();
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** The database that is running in a data directory; null: none is. */
export async function runningDatabase(directory: string): Promise<DbOptions | null> {
  const path = join(runDirectory(await realpath(directory).catch(() => directory)), `.s.PGSQL.${PORT}`);
  const options = { path, database: DATABASE, username: DATABASE };
  const sql = connect(options, 1);
  try {
    await sql`select`;
    return options;
  } catch {
    return null;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** `DIR/run`. If that path is too long for a socket: a subdirectory of the system's temporary directory, named by a hash of the path. */
function runDirectory(directory: string): string {
  const run = join(directory, "run");
  if (Buffer.byteLength(join(run, `.s.PGSQL.${PORT}`)) <= LONGEST_SOCKET_PATH) return run;
  const id = createHash("sha256").update(directory).digest("hex").slice(0, 12);
  return join(tmpdir(), `syncv3-${process.getuid?.() ?? 0}-${id}`);
}

/** Creates the directory of the sockets, closed to other users. */
async function socketDirectory(directory: string, user: RunAs | undefined): Promise<string> {
  const run = runDirectory(directory);
  await mkdir(run, { recursive: true, mode: 0o700 });
  await give(run, user);
  const { uid, mode } = await stat(run);
  // In /tmp, another user may have created a directory of this name as a trap.
  if ((mode & 0o077) !== 0 || (process.getuid !== undefined && uid !== (user?.uid ?? process.getuid()))) {
    throw new Error(
      `${run} must belong to the user that PostgreSQL runs as and be closed to others (mode 0700). Remove it if another user created it`,
    );
  }
  return run;
}

/** Creates the cluster under another name and renames it when complete, so that an interrupted start leaves no partial cluster. */
async function initialise(
  programs: PostgresPrograms,
  cluster: string,
  user: RunAs | undefined,
  onProgress: ((text: string) => void) | undefined,
): Promise<void> {
  onProgress?.(`Creating a PostgreSQL ${programs.major} database in ${cluster}`);
  const unfinished = `${cluster}.new`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { mode: 0o700 });
  await give(unfinished, user);
  const args = ["-D", unfinished, "-U", DATABASE, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"];
  const invocation = asUser(user, programs.initdb, args, [unfinished]);
  await runToEnd(invocation, unfinished);
  await rename(unfinished, cluster);
}

async function runToEnd(invocation: Invocation, cwd: string): Promise<void> {
  const child = spawn(invocation.file, invocation.args, {
    ...invocation.options,
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, LC_ALL: "C" },
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((done, fail) => child.once("error", fail).once("close", done));
  if (code !== 0) throw new Error(`initdb failed (${String(code)}):\n${output.trim()}`);
}

async function checkVersion(programs: PostgresPrograms, cluster: string): Promise<void> {
  const version = (await readFile(join(cluster, "PG_VERSION"), "utf8")).trim();
  if (version === String(programs.major)) return;
  throw new WrongVersion(
    `${cluster} was created by PostgreSQL ${version}, but this syncv3 brings PostgreSQL ${programs.major}. Dump it with pg_dump while the older syncv3 runs, restore it into a database of your own and give that with -db; or start with another -data`,
  );
}

/** Runs the server and starts it again if it ends by itself (e.g. killed for lack of memory), unless it ends at once. */
async function keepRunning(
  invocation: Invocation,
  cluster: string,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<{ failed: Promise<Error>; stop(): Promise<void> }> {
  const onLine = (line: string) => logger.debug({ from: "postgresql" }, line);
  const { promise: failed, resolve: fail } = Promise.withResolvers<Error>();
  const stopping = new AbortController();
  let server = await startPatiently(invocation, cluster, onLine, signal);
  const watch = async (): Promise<void> => {
    for (;;) {
      const output = await server.ended;
      if (stopping.signal.aborted) return;
      logger.error({ output }, "The database ended unexpectedly; starting it again");
      server = await startPatiently(invocation, cluster, onLine, stopping.signal);
    }
  };
  const watching = watch().catch((error: unknown) => {
    if (!stopping.signal.aborted) fail(error instanceof Error ? error : new Error(String(error)));
  });
  return {
    failed,
    stop: async () => {
      stopping.abort();
      await server.stop();
      await watching;
    },
  };
}

/** Starts the server, and retries while the last processes of an older one still hold what it needs. */
async function startPatiently(
  invocation: Invocation,
  cluster: string,
  onLine: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<PostgresProcess> {
  const deadline = Date.now() + OLD_SERVER_PATIENCE_MS;
  for (;;) {
    try {
      return await runPostgres(invocation, cluster, onLine);
    } catch (error) {
      if (!(error instanceof PostgresFailed && error.passing) || Date.now() > deadline) throw error;
      await delay(50, undefined, { signal });
    }
  }
}

async function createDatabase(options: DbOptions): Promise<void> {
  const sql = connect({ ...options, database: "postgres" }, 1);
  try {
    const [found] = await sql`select from pg_database where datname = ${DATABASE}`;
    if (found === undefined) await sql.unsafe(`create database ${DATABASE}`);
  } finally {
    await sql.end();
  }
}

function quote(value: string): string {
  return /^[\w./-]+$/.test(value) ? value : `'${value.replace(/['\\]/g, "\\$&")}'`;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
