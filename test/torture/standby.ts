/** A standby of an embedded database, and one address that leads to either of them: what a fail-over is. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { appendFile, rm, writeFile } from "node:fs/promises";
import { createServer, connect as dial, type AddressInfo, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { findPostgres } from "../../src/cli/postgres-program.ts";
import { asUser, chooseRunAs, give } from "../../src/cli/run-as.ts";
import type { EmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { connect } from "../../src/store/db.ts";

const PORT = 5432;

/**
 * Copies the running primary of `directory` into `to`, which must not exist, and starts it as a standby there; from then on each commit of the primary
 * waits for it. PostgreSQL's documentation, 25.3.3 (a base backup by its low-level API) and 26.2.8 (synchronous replication).
 */
export async function startStandby(primary: EmbeddedDatabase, directory: string, to: string): Promise<Standby> {
  const sql = connect({ ...primary.options, database: "postgres" }, 1);
  const cluster = join(to, "postgresql");
  const user = await chooseRunAs(join(directory, "postgresql"));
  try {
    await sql`select pg_backup_start('standby', true)`;
    for (const command of [
      ["mkdir", "-p", "-m", "0711", to],
      ["cp", "-a", join(directory, "postgresql"), cluster],
      ["mkdir", "-m", "0700", join(to, "run")],
    ]) {
      if (spawnSync(command[0] ?? "", command.slice(1), { stdio: "inherit" }).status !== 0) throw new Error(`${command.join(" ")} failed`);
    }
    const [stopped] = await sql<{ labelfile: string }[]>`select labelfile from pg_backup_stop(false)`;
    await Promise.all(["postmaster.pid", "postmaster.opts"].map((name) => rm(join(cluster, name), { force: true })));
    for (const [name, text] of Object.entries({ backup_label: stopped?.labelfile ?? "", "standby.signal": "" })) {
      await writeFile(join(cluster, name), text);
      await give(join(cluster, name), user);
    }
    const conninfo = `host=${dirname(primary.options.path ?? "")} port=${PORT} user=syncv3 application_name=standby`;
    await appendFile(join(cluster, "postgresql.auto.conf"), `\nprimary_conninfo = '${conninfo}'\n`);
    await give(join(to, "run"), user);
    const { postgres } = await findPostgres();
    const flags = Object.entries({ listen_addresses: "", unix_socket_directories: join(to, "run") }).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
    const { file, args, options } = asUser(user, postgres, ["-D", cluster, "-p", String(PORT), ...flags], [cluster]);
    const child = spawn(file, args, { ...options, cwd: cluster, stdio: ["ignore", "ignore", "pipe"], env: { LC_ALL: "C" } });
    const standby = new Standby(child, join(to, "run", `.s.PGSQL.${PORT}`));
    await standby.says(/ready to accept read-only connections/);
    await sql`alter system set synchronous_standby_names = 'standby'`;
    await sql`select pg_reload_conf()`;
    for (let isSynchronous = false; !isSynchronous;) {
      isSynchronous = (await sql`select from pg_stat_replication where sync_state = 'sync'`).length > 0;
    }
    return standby;
  } finally {
    await sql.end();
  }
}

export class Standby {
  readonly path: string;
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #heard = new Set<() => void>();

  constructor(child: ChildProcess, path: string) {
    this.#child = child;
    this.path = path;
    if (child.stderr) {
      createInterface({ input: child.stderr }).on("line", (line) => {
        this.#lines.push(line);
        for (const hear of this.#heard) hear();
      });
    }
  }

  /** Rejected, with its log, if it ends before it says something like it. */
  says(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      const hear = (): void => {
        if (this.#lines.some((line) => pattern.test(line))) resolve();
      };
      this.#heard.add(hear);
      this.#child.once("close", () => reject(new Error(this.#lines.join("\n"))));
      hear();
    });
  }

  /** Makes it the primary. */
  async promote(): Promise<void> {
    const sql = connect({ path: this.path, username: "syncv3", database: "postgres" }, 1);
    try {
      await sql`select pg_promote()`;
    } finally {
      await sql.end();
    }
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGQUIT");
    await ended;
  }
}

/** A port of loopback that leads to a Unix socket, and to another one when told so. */
export class Switch {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #path: string;

  private constructor(path: string) {
    this.#path = path;
    this.#server = createServer((from) => {
      const to = dial(this.#path);
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.add(one);
        one
          .on("error", () => {})
          .on("close", () => {
            this.#sockets.delete(one);
            other.destroy();
          });
        one.pipe(other);
      }
    });
  }

  static async to(path: string): Promise<Switch> {
    const made = new Switch(path);
    await new Promise<void>((resolve) => made.#server.listen(0, "127.0.0.1", resolve));
    return made;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** New connections lead there; those that are there end. */
  turn(path: string): void {
    this.#path = path;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
