/** Reads and checks the command line and the environment. */

import { Command, Help, Option } from "commander";

import { isLogLevel, LOG_LEVELS, type LogLevel } from "../base/logger.ts";
import type { DbOptions } from "../store/db.ts";
import { parseBaseUrl } from "./base-url.ts";
import { type BusAddress, parseBusUrl } from "./bus-url.ts";
import { defaultDataDirectory } from "./data-directory.ts";
import { parseDsn } from "./dsn.ts";
import { parseDuration } from "./duration.ts";
import { parseListenAddress, type ListenAddress } from "./listen-address.ts";
import { parseNetworks } from "./networks.ts";
import { Reader, ROWS, UsageError } from "./option-reader.ts";
import { parseSize } from "./size.ts";
import { DATABASE_FLAGS, NEW_SECRET, OPTION_TABLE, type OptionRow } from "./option-table.ts";

/** The part of the work that a server does if several share a database: `api` answers clients, `poller` polls the homeserver, `all` does both. */
export type Role = (typeof ROLES)[number];
const ROLES = ["all", "api", "poller"] as const;

/** How a pooler in front of PostgreSQL assigns connections: for a client's whole session, or for one transaction. */
export type PoolMode = (typeof POOL_MODES)[number];
const POOL_MODES = ["session", "transaction"] as const;

/** Paths of the PEM files of a certificate and its key. */
export type TlsFiles = { readonly cert: string; readonly key: string };

/** Where the page `/client/` is served; `public`: on the address of the API. `isDefault`: the address was not given. */
export type PageSettings = "off" | "public" | { readonly listen: ListenAddress; readonly isDefault: boolean };

/** The settings of `serve`. */
export type Settings = {
  /** The homeserver as given: a base URL or a server name. */
  readonly server: string;
  /** Undefined: start one in `data`. */
  readonly db: DbOptions | undefined;
  /** `session`: `db` is PostgreSQL itself or behaves like it. */
  readonly dbPoolMode: PoolMode;
  /** The same database without a pooler in transaction mode. Undefined: not given. */
  readonly dbDirect: DbOptions | undefined;
  /** The size of each process's connection pool. */
  readonly maxDbConnections: number;
  /** What carries wake-ups between processes. Undefined: the database. */
  readonly bus: BusAddress | undefined;
  readonly listen: ListenAddress;
  /** Undefined: no TLS. */
  readonly tls: TlsFiles | undefined;
  /** Absolute or relative path of the data directory. */
  readonly data: string;
  /** Undefined: the one stored in `data`. */
  readonly secret: string | undefined;
  readonly logLevel: LogLevel;
  /** Addresses and networks whose X-Forwarded-For is trusted. */
  readonly trustedProxies: readonly string[];
  readonly sessionIdleMs: number;
  readonly connectionIdleMs: number;
  /** The limit for one answer of the homeserver after decompression, bytes. */
  readonly maxSyncBytes: number;
  /** The limit for what an account's feed stores (S6), bytes. */
  readonly feedBytes: number;
  /** Questions a second whether stored rooms still exist (T1), over all processes. */
  readonly checksPerSecond: number;
  /** The number of processes that serve. */
  readonly workers: number;
  readonly role: Role;
  /** Paginated sync (MSC4525) is served. */
  readonly paginatedSync: boolean;
  /** Commits of sliding sync connections do not wait for the disk. */
  readonly asyncConnections: boolean;
  readonly page: PageSettings;
  /** Where metrics are served. Undefined: nowhere. */
  readonly prom: ListenAddress | undefined;
  /** Where traces are sent. Undefined: nowhere. */
  readonly otlpUrl: string | undefined;
  /** What to assume about retention if the homeserver does not say. Undefined: that messages do not expire. */
  readonly assumedRetention: { readonly fallbackMs: number | null } | undefined;
  /** Where clients reach this server: a base URL without a trailing slash. Undefined: not advertised to clients. */
  readonly publicUrl: string | undefined;
  /** Also pass `/_synapse/admin` on. */
  readonly passAdmin: boolean;
  /** Pass simplified sliding sync on to a homeserver that supports it. */
  readonly preferNative: boolean;
};

/** Where the database is, and what is needed to read it. */
export type DatabaseSettings = Pick<Settings, "db" | "dbPoolMode" | "dbDirect" | "data" | "secret" | "bus" | "logLevel">;
/** The settings of `rotate-secret`. `newSecret` undefined: generate one and store it in `data`. */
export type RotateSettings = DatabaseSettings & { readonly newSecret: string | undefined };

/** The settings of `forget`. `device` undefined: the entire account. */
export type ForgetSettings = DatabaseSettings & { readonly user: string; readonly device: string | undefined };

/** The settings of `doctor`. */
export type DoctorSettings = Pick<DatabaseSettings, "db" | "data"> & {
  /** A base URL without a trailing slash. */
  readonly url: string;
  /** A user's access token. Undefined: checks that need one are skipped. */
  readonly token: string | undefined;
  /** The `-server` of the server. Undefined: the connection to the homeserver is not checked. */
  readonly server: string | undefined;
};

/** The function that each command calls. */
export type Commands = {
  readonly serve: (settings: Settings) => Promise<void>;
  readonly rotateSecret: (settings: RotateSettings) => Promise<void>;
  readonly endSessions: (settings: DatabaseSettings) => Promise<void>;
  readonly status: (settings: DatabaseSettings) => Promise<void>;
  readonly forget: (settings: ForgetSettings) => Promise<void>;
  readonly doctor: (settings: DoctorSettings) => Promise<void>;
};

/**
 * Builds the program. `serve` is its default command; each command is called with its settings. Commander prints help and version, refuses
 * unknown options, and then ends the process (tests use `exitOverride`).
 */
export function createProgram(version: string, env: NodeJS.ProcessEnv, commands: Commands): Command {
  const program = new Command("syncv3")
    .description("A better sync API for any existing Matrix homeserver")
    .version(version, "-V, --version", "Show the version")
    .helpOption("-h, --help", "Show this help")
    .helpCommand(false)
    .addHelpText("after", "\nOptions may also be written with one dash. See README.md for more");
  const serve = program
    .command("serve", { isDefault: true })
    .description("Serve the API in front of a homeserver (the default command)")
    .allowExcessArguments(false)
    .action(async (values: Record<string, string>) => commands.serve(readSettings(values, env)));
  for (const row of OPTION_TABLE) serve.addOption(toOption(row));
  const rotate = program
    .command("rotate-secret")
    .description("Encrypt the stored access tokens with a new secret. Stop all servers on the database first")
    .action(async (values: Record<string, string>) => commands.rotateSecret(readRotateSettings(values, env)));
  const endSessions = program
    .command("end-sessions")
    .description("End all sessions and connections, after restoring an older backup. Stop all servers on the database first")
    .action(async (values: Record<string, string>) => commands.endSessions(readDatabaseSettings(new Reader(values, env))));
  const status = program
    .command("status")
    .description("Show the state of the server: accounts, pollers, lag, queues, disk")
    .action(async (values: Record<string, string>) => commands.status(readDatabaseSettings(new Reader(values, env))));
  const forget = program
    .command("forget")
    .argument("<user>", "the account's user ID, e.g. @alice:example.org")
    .description("Delete what syncv3 stores of an account or of one device. The homeserver's data is not changed")
    .option("--device <ID>", "delete only this device")
    .action(async (user: string, values: Record<string, string>) => commands.forget(readForgetSettings(user, values, env)));
  const doctor = program
    .command("doctor")
    .argument("<url>", "the base URL that clients use, e.g. https://matrix.example.org")
    .description(
      "Check a server from outside, as a client sees it, and on its own machine also from inside. Reports what is wrong and how to fix it. Set SYNCV3_TOKEN to an access token to also try a long poll",
    )
    .addOption(toOption(OPTION_TABLE[0]))
    .action(async (url: string, values: Record<string, string>) => commands.doctor(readDoctorSettings(url, values, env)));
  for (const command of [rotate, endSessions, status, forget, doctor]) {
    command.allowExcessArguments(false);
    for (const row of OPTION_TABLE.filter(({ flag }) => DATABASE_FLAGS.includes(flag))) command.addOption(toOption(row));
  }
  rotate.addOption(toOption(NEW_SECRET));
  // People read `syncv3 --help` for the options, so it also shows those of the default command.
  const plain = new Help();
  program.configureHelp({ visibleOptions: (command) => [...plain.visibleOptions(command), ...(command === program ? serve.options : [])] });
  return program;
}

function toOption(row: OptionRow): Option {
  const fallback = row.fallback === undefined ? "" : ` (default: ${row.fallback})`;
  // A switch accepts a value, so that a flag can turn off what its variable turns on.
  const value = row.value === undefined ? "[BOOL]" : `<${row.value}>`;
  return new Option(`--${row.flag} ${value}`, `${row.help}${fallback} [${row.variable}]`);
}

const SWITCHES: ReadonlySet<string> = new Set(ROWS.filter((row) => row.value === undefined).map((row) => row.flag));

/**
 * Doubles the single dash of known options (`-server URL`, `-server=URL`), as Commander requires two. A switch without `=` means true:
 * the argument after it is not its value.
 */
export function doubleDashes(args: readonly string[]): string[] {
  const flags = new Set<string>([...ROWS.map((row) => row.flag), "device", "help", "version"]);
  let isValue = false;
  return args.map((arg) => {
    const match = /^--?([a-z][a-z-]*)(=.*)?$/s.exec(arg);
    const flag = match?.[1];
    if (isValue || flag === undefined || !flags.has(flag)) {
      isValue = false;
      return arg;
    }
    const isAlone = match?.[2] === undefined;
    const isSwitch = SWITCHES.has(flag);
    isValue = isAlone && !isSwitch && flag !== "help" && flag !== "version";
    return `${arg.startsWith("--") ? "" : "-"}${arg}${isAlone && isSwitch ? "=true" : ""}`;
  });
}

/** @throws UsageError, BadDsn, BadUrl */
function readDatabaseSettings(reader: Reader): DatabaseSettings {
  const bus = reader.get("bus");
  return {
    ...readDatabase(reader.get("db")?.text ?? "", reader.get("db-direct")?.text ?? "", reader.env),
    dbPoolMode: reader.read("db-pool-mode", (text) => POOL_MODES.find((mode) => mode === text.trim()), `one of ${POOL_MODES.join(", ")}`),
    data: reader.get("data")?.text ?? defaultDataDirectory(reader.env),
    secret: reader.readSecret("secret"),
    bus: bus && parseBusUrl(bus.text, bus.name),
    logLevel: reader.read("loglevel", (text) => (isLogLevel(text) ? text : undefined), `one of ${LOG_LEVELS.join(", ")}`),
  };
}

/** @throws UsageError, BadDsn */
function readRotateSettings(values: Record<string, string>, env: NodeJS.ProcessEnv): RotateSettings {
  const reader = new Reader(values, env);
  const settings = { ...readDatabaseSettings(reader), newSecret: reader.readSecret("new-secret") };
  if (settings.secret !== undefined && settings.newSecret === undefined) {
    throw new UsageError("-secret is the old secret. Give the new one with -new-secret (or SYNCV3_NEW_SECRET)");
  }
  if (settings.secret !== undefined && settings.secret === settings.newSecret)
    throw new UsageError("-new-secret is the same as the old secret. Give another one");
  return settings;
}

/** @throws UsageError, BadDsn */
function readForgetSettings(user: string, values: Record<string, string>, env: NodeJS.ProcessEnv): ForgetSettings {
  if (!/^@[^:]+:./.test(user)) throw new UsageError(`"${user}" is not a user ID such as @alice:example.org`);
  return { ...readDatabaseSettings(new Reader(values, env)), user, device: values["device"] };
}

/** @throws UsageError, BadDsn, BadUrl */
function readDoctorSettings(url: string, values: Record<string, string>, env: NodeJS.ProcessEnv): DoctorSettings {
  const reader = new Reader(values, env);
  const { db, data } = readDatabaseSettings(reader);
  const token = env["SYNCV3_TOKEN"]?.trim();
  return {
    url: parseBaseUrl(url, "doctor").href.replace(/\/+$/, ""),
    token: token === "" ? undefined : token,
    server: reader.get("server")?.text.trim(),
    db,
    data,
  };
}

/** An answer is read into one string, and V8 limits strings to a little less than 512 MiB. */
const MOST_SYNC_BYTES = 511 * 2 ** 20;
const LEAST_SYNC_BYTES = 16 * 2 ** 20;

/** @throws UsageError, BadDsn, BadUrl */
function readSettings(values: Record<string, string>, env: NodeJS.ProcessEnv): Settings {
  const reader = new Reader(values, env);
  const server = reader.get("server")?.text.trim() ?? "";
  if (server === "") throw new UsageError("No homeserver is given. Set it with -server https://matrix.example.org (or SYNCV3_SERVER)");
  const database = readDatabaseSettings(reader);
  if (database.dbPoolMode === "transaction" && !database.dbDirect && !database.bus) {
    throw new UsageError(
      "-db-pool-mode transaction: LISTEN does not work through such a pooler. Give PostgreSQL's own address with -db-direct, or NATS with -bus",
    );
  }
  const publicUrl = reader.get("public-url");
  return {
    server,
    ...database,
    maxDbConnections: reader.read("max-db-conn", (text) => parseCount(text, 4, 100), "a number from 4 to 100"),
    listen: reader.read("port", parseListenAddress, "an address such as :8008, 127.0.0.1:8008 or /run/syncv3.sock"),
    trustedProxies:
      reader.get("trusted-proxies") === undefined ? [] : reader.read("trusted-proxies", parseNetworks, "a list of addresses and networks"),
    tls: readTls(reader),
    sessionIdleMs: reader.read("session-idle", parseDuration, "a time such as 90s, 30m, 12h or 7d"),
    feedBytes: reader.read("feed-size", (text) => parseSize(text, 2 ** 20, 64 * 2 ** 30), "a size from 1M to 64G"),
    connectionIdleMs: reader.read("connection-idle", parseDuration, "a time such as 90s, 30m, 12h or 30d"),
    maxSyncBytes: reader.read("max-sync-bytes", (text) => parseSize(text, LEAST_SYNC_BYTES, MOST_SYNC_BYTES), "a size from 16M to 511M"),
    checksPerSecond: reader.read("checks-per-second", (text) => parseCount(text, 1, 1000), "a number from 1 to 1000"),
    workers: reader.read("workers", (text) => parseCount(text, 1, 64), "a number from 1 to 64"),
    role: reader.read("role", (text) => ROLES.find((role) => role === text.trim()), `one of ${ROLES.join(", ")}`),
    paginatedSync: reader.readSwitch("paginated-sync"),
    asyncConnections: reader.readSwitch("async-connections"),
    page: readPageSettings(reader),
    prom:
      reader.get("prom") === undefined
        ? undefined
        : reader.read("prom", parseListenAddress, "an address such as :2112, 127.0.0.1:2112 or /run/metrics.sock"),
    otlpUrl: reader.get("otlp-url") && reader.read("otlp-url", parseOtlpUrl, "a URL such as http://127.0.0.1:4318"),
    assumedRetention: reader.read("message-retention", parseRetentionPolicy, "auto, apply, or a time such as 90d") ?? undefined,
    publicUrl: publicUrl && parseBaseUrl(publicUrl.text, publicUrl.name).href.replace(/\/+$/, ""),
    passAdmin: reader.readSwitch("pass-admin"),
    preferNative: reader.readSwitch("prefer-native"),
  };
}

/** @throws UsageError */
function readPageSettings(reader: Reader): PageSettings {
  const isDefault = reader.get("client-port")?.isDefault ?? false;
  return reader.read(
    "client-port",
    (text) => {
      if (text === "off" || text === "public") return text;
      const listen = parseListenAddress(text);
      return listen && { listen, isDefault };
    },
    "an address such as 127.0.0.1:8012, off, or public",
  );
}

/** @throws UsageError if one of the two is missing */
function readTls(reader: Reader): TlsFiles | undefined {
  const [cert, key] = [reader.get("tls-cert")?.text, reader.get("tls-key")?.text];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new UsageError("-tls-cert and -tls-key must be given together");
  return { cert, key };
}

/** An empty text means that the option was not given. */
function readDatabase(dsn: string, direct: string, env: NodeJS.ProcessEnv): Pick<Settings, "db" | "dbDirect"> {
  if (dsn === "" && direct !== "") throw new UsageError("-db-direct is the database of -db without its pooler. Give -db as well");
  return { db: dsn === "" ? undefined : parseDsn(dsn, env), dbDirect: direct === "" ? undefined : parseDsn(direct, env, "-db-direct") };
}

/** null: assume nothing. */
function parseRetentionPolicy(text: string): Settings["assumedRetention"] | null {
  const policy = text.trim();
  if (policy === "auto") return null;
  if (policy === "apply") return { fallbackMs: null };
  const fallbackMs = parseDuration(policy);
  return fallbackMs === undefined ? undefined : { fallbackMs };
}

function parseOtlpUrl(text: string): string | undefined {
  const url = URL.parse(text.trim());
  return url?.protocol === "http:" || url?.protocol === "https:" ? url.href : undefined;
}

function parseCount(text: string, least: number, most: number): number | undefined {
  const count = /^\d{1,4}$/.test(text.trim()) ? Number(text) : -1;
  return count >= least && count <= most ? count : undefined;
}
