/** PgBouncer in front of a test's database, with the configurations of docs/OPERATIONS.md on a port of its own. */

import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { PoolMode } from "../../src/config/options.ts";
import type { DbOptions } from "../../src/store/db.ts";
import { freePort, startDaemon } from "./daemon.ts";

const DOCUMENT = join(import.meta.dirname, "../../docs/OPERATIONS.md");

export type TestBouncer = {
  /** The database by way of it. */
  readonly options: DbOptions;
  /** The same for `-db`. */
  readonly dsn: string;
  /** Ends it with no chance to say anything, and starts it again. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

/** Through it leads the way to `database`. `more`: further lines of its configuration. Runs as who may connect there, as it does not run as root. */
export async function startBouncer(mode: PoolMode, database: DbOptions, more = ""): Promise<TestBouncer> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-pgbouncer-"));
  const [port, username, password = ""] = [await freePort(), database.username ?? "", database.password];
  const users = join(directory, "userlist.txt");
  const where =
    database.path === undefined
      ? `host=${database.host} port=${database.port}`
      : `host=${dirname(database.path)} port=${basename(database.path).split(".").at(-1)}`;
  const file = (await blockOf(mode))
    .replace("host=127.0.0.1 port=5432 dbname=syncv3", `${where} dbname=${database.database}`)
    .replace("6432", String(port))
    .replace("scram-sha-256", "trust")
    .replace("/etc/pgbouncer/userlist.txt", users);
  await writeFile(join(directory, "pgbouncer.ini"), `${file}unix_socket_dir =\n${more}`);
  await writeFile(users, `"${username}" "${password}"\n`);
  const isRoot = process.getuid?.() === 0;
  const uid = isRoot && database.path !== undefined ? (await stat(dirname(database.path))).uid : undefined;
  if (uid !== undefined) await chown(directory, uid, -1);
  await chmod(directory, 0o755);
  const start = () => startDaemon("pgbouncer", ["-q", join(directory, "pgbouncer.ini")], port, uid);
  let daemon = await start();
  return {
    options: { host: "127.0.0.1", port, username, password, database: "syncv3", ssl: false },
    dsn: `host=127.0.0.1 port=${port} user=${username} password='${password}' dbname=syncv3 sslmode=disable`,
    async restart() {
      await daemon.stop("SIGKILL");
      daemon = await start();
    },
    async stop() {
      await daemon.stop("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The document's configuration with that pool_mode. */
async function blockOf(mode: PoolMode): Promise<string> {
  const blocks = [...(await readFile(DOCUMENT, "utf8")).matchAll(/^```ini\n(.*?)^```/gms)].map((match) => match[1] ?? "");
  const block = blocks.find((text) => text.includes(`pool_mode = ${mode}\n`));
  if (block === undefined) throw new Error(`docs/OPERATIONS.md has no configuration of PgBouncer in ${mode} mode`);
  return block;
}
