import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

import { UsageError } from "./option-reader.ts";
import { OPTION_TABLE } from "./option-table.ts";
import { createProgram, type DatabaseSettings, type DoctorSettings, doubleDashes, type RotateSettings, type Settings } from "./options.ts";

let rotation: RotateSettings | undefined;
let ending: DatabaseSettings | undefined;
let patient: DoctorSettings | undefined;

/** The settings that follow from the arguments and variables. */
async function settingsOf(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Settings> {
  const [settings] = await createProgramFor(args, env);
  if (settings === undefined) throw new Error("serve was not called");
  return settings;
}

/** Runs the command without any effect, and returns the settings of `serve`. */
async function createProgramFor(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Settings[]> {
  const seen: Settings[] = [];
  const program = createProgram("1.2.3", env, {
    serve: async (settings) => void seen.push(settings),
    rotateSecret: async (settings) => void (rotation = settings),
    endSessions: async (settings) => void (ending = settings),
    status: async (settings) => void (ending = settings),
    forget: async (settings) => void (ending = settings),
    doctor: async (settings) => void (patient = settings),
  });
  for (const command of [program, ...program.commands]) command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  await program.parseAsync(doubleDashes(args), { from: "user" });
  return seen;
}

const SERVER = ["-server", "http://hs"];

test("one or two dashes, with or without an equals sign or the word serve: all mean the same", async () => {
  const expected = await settingsOf(["--server", "http://hs", "--session-idle", "1h"]);
  expect(expected).toMatchObject({ server: "http://hs", sessionIdleMs: 3_600_000 });
  for (const args of [
    ["-server", "http://hs", "-session-idle", "1h"],
    ["-server=http://hs", "-session-idle=1h"],
    ["--server=http://hs", "--session-idle=1h"],
    ["serve", "-server", "http://hs", "--session-idle", "1h"],
  ]) {
    expect(await settingsOf(args), args.join(" ")).toEqual(expected);
  }
});

test("the defaults", async () => {
  expect(await settingsOf(SERVER, { HOME: "/nowhere", XDG_DATA_HOME: "/data" })).toEqual({
    server: "http://hs",
    db: undefined,
    dbPoolMode: "session",
    dbDirect: undefined,
    maxDbConnections: 10,
    bus: undefined,
    listen: { port: 8008 },
    data: "/data/syncv3",
    secret: undefined,
    logLevel: "info",
    trustedProxies: [],
    sessionIdleMs: 7 * 86_400_000,
    feedBytes: 256 * 1024 * 1024,
    connectionIdleMs: 30 * 86_400_000,
    maxSyncBytes: 256 * 1024 * 1024,
    checksPerSecond: 5,
    workers: 1,
    role: "all",
    paginatedSync: false,
    asyncConnections: false,
    tls: undefined,
    page: { listen: { host: "127.0.0.1", port: 8012 }, isDefault: true },
    prom: undefined,
    otlpUrl: undefined,
    assumedRetention: undefined,
    publicUrl: undefined,
    passAdmin: false,
    preferNative: false,
  });
});

test("every option can be given by its variable, and the flag overrides it", async () => {
  const env = {
    SYNCV3_SERVER: "http://env",
    SYNCV3_DB: "user=u dbname=d sslmode=disable",
    SYNCV3_DB_POOL_MODE: "transaction",
    SYNCV3_DB_DIRECT: "host=pg user=u dbname=d sslmode=disable",
    SYNCV3_MAX_DB_CONN: "20",
    SYNCV3_BUS: "nats://n",
    SYNCV3_BINDADDR: "127.0.0.1:1234",
    SYNCV3_DATA: "/d",
    SYNCV3_SECRET: "s",
    SYNCV3_LOG_LEVEL: "debug",
    SYNCV3_TRUSTED_PROXIES: "10.0.0.0/8, ::1",
    SYNCV3_SESSION_IDLE: "90s",
    SYNCV3_FEED_SIZE: "2G",
    SYNCV3_CONNECTION_IDLE: "12h",
    SYNCV3_MAX_SYNC_BYTES: "64MB",
    SYNCV3_CHECKS_PER_SECOND: "7",
    SYNCV3_WORKERS: "4",
    SYNCV3_ROLE: "poller",
    SYNCV3_PAGINATED_SYNC: "true",
    SYNCV3_ASYNC_CONNECTIONS: "true",
    SYNCV3_TLS_CERT: "cert.pem",
    SYNCV3_TLS_KEY: "key.pem",
    SYNCV3_CLIENT_PORT: ":8013",
    SYNCV3_PROM: ":2112",
    SYNCV3_OTLP_URL: "http://user:pass@otel:4318",
    SYNCV3_MESSAGE_RETENTION: "90d",
    SYNCV3_PUBLIC_URL: "https://matrix.example.org/",
    SYNCV3_PASS_ADMIN: "1",
    SYNCV3_PREFER_NATIVE: "TRUE",
  };
  const variables = OPTION_TABLE.map((row) => row.variable).filter((variable) => variable !== "SYNCV3_CONFIG");
  expect(Object.keys(env).toSorted()).toEqual(variables.toSorted());
  expect(await settingsOf([], env)).toEqual({
    server: "http://env",
    db: { host: "localhost", port: 5432, username: "u", database: "d", ssl: false },
    dbPoolMode: "transaction",
    dbDirect: { host: "pg", port: 5432, username: "u", database: "d", ssl: false },
    maxDbConnections: 20,
    bus: { servers: ["n:4222"], tls: false },
    listen: { host: "127.0.0.1", port: 1234 },
    data: "/d",
    secret: "s",
    logLevel: "debug",
    trustedProxies: ["10.0.0.0/8", "::1"],
    sessionIdleMs: 90_000,
    feedBytes: 2 * 1024 ** 3,
    connectionIdleMs: 43_200_000,
    maxSyncBytes: 64 * 1024 * 1024,
    checksPerSecond: 7,
    workers: 4,
    role: "poller",
    paginatedSync: true,
    asyncConnections: true,
    tls: { cert: "cert.pem", key: "key.pem" },
    page: { listen: { port: 8013 }, isDefault: false },
    prom: { port: 2112 },
    otlpUrl: "http://user:pass@otel:4318/",
    assumedRetention: { fallbackMs: 90 * 86_400_000 },
    publicUrl: "https://matrix.example.org",
    passAdmin: true,
    preferNative: true,
  });
  expect(await settingsOf(["-server", "http://flag", "-loglevel", "warn"], env)).toMatchObject({ server: "http://flag", logLevel: "warn" });
  expect(await settingsOf(SERVER, { SYNCV3_LOG_LEVEL: "" })).toMatchObject({ logLevel: "info" });
});

test("T4: -message-retention is auto, apply or a time", async () => {
  expect(await settingsOf([...SERVER, "-message-retention", "auto"])).toMatchObject({ assumedRetention: undefined });
  expect(await settingsOf([...SERVER, "-message-retention", "apply"])).toMatchObject({ assumedRetention: { fallbackMs: null } });
  await expect(settingsOf([...SERVER, "-message-retention", "on"])).rejects.toThrow(
    '-message-retention: "on" is not auto, apply, or a time such as 90d',
  );
});

/** Writes a file of options and returns its path. */
async function configFile(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-config-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "syncv3.yaml");
  await writeFile(path, text);
  return path;
}

test("options can be in a file; a variable overrides it, and a flag overrides both", async () => {
  const path = await configFile(
    "server: http://file\nport: 127.0.0.1:1234\nworkers: 4\npass-admin: true\ntrusted-proxies: [127.0.0.1, '::1']\nloglevel: debug\nsession-idle: 90s\nbus:\n",
  );
  const written = {
    server: "http://file",
    listen: { host: "127.0.0.1", port: 1234 },
    workers: 4,
    passAdmin: true,
    trustedProxies: ["127.0.0.1", "::1"],
  };
  expect(await settingsOf(["-config", path])).toMatchObject({ ...written, logLevel: "debug", sessionIdleMs: 90_000, bus: undefined });
  expect(await settingsOf([], { SYNCV3_CONFIG: path })).toMatchObject(written);
  expect(await settingsOf(["-config", path, "-workers", "2"], { SYNCV3_LOG_LEVEL: "warn", SYNCV3_WORKERS: "3" })).toMatchObject({
    logLevel: "warn",
    workers: 2,
  });
  await createProgramFor(["status", "-config", await configFile("data: /of-the-file\nserver: x")]);
  expect(ending).toMatchObject({ data: "/of-the-file" });
});

test.each([
  ["serverr: x", /syncv3\.yaml: unknown option "serverr"\. The options are: server, db, /],
  ["config: x", /unknown option "config"/],
  ["- server", /the file must contain options/],
  ["server: {a: 1}", /"server" must be text/],
  ["workers: many\nserver: x", /workers in the file of -config: "many" is not a number from 1 to 64/],
  ["secret: 'hush\nserver: x", /^(?!.*hush).*syncv3\.yaml, line \d is not valid YAML: /s],
])("a file that cannot be used: %j", async (text, message) => {
  await expect(settingsOf(["-config", await configFile(text)])).rejects.toThrow(message);
});

test("a file that does not exist", async () => {
  await expect(settingsOf(["-config", "/nowhere.yaml"])).rejects.toThrow(/\/nowhere\.yaml cannot be read: ENOENT/);
});

test("a switch is off by default, on if it is given, and its flag can turn off what its variable turns on", async () => {
  const on = { SYNCV3_PASS_ADMIN: "true" };
  for (const [args, env, expected] of [
    [["-pass-admin"], {}, true],
    [["--pass-admin"], {}, true],
    [["-pass-admin=1"], {}, true],
    [["--pass-admin=true"], {}, true],
    [["-pass-admin", "-loglevel", "warn"], {}, true],
    [[], on, true],
    [["-pass-admin=false"], on, false],
    [["--pass-admin=0"], on, false],
    [[], { SYNCV3_PASS_ADMIN: "0" }, false],
    [[], { SYNCV3_PASS_ADMIN: "False" }, false],
    [[], { SYNCV3_PASS_ADMIN: "" }, false],
  ] as const) {
    const settings = await settingsOf([...args, ...SERVER], env);
    expect(settings, JSON.stringify([args, env])).toMatchObject({ passAdmin: expected, preferNative: false });
  }
  expect(await settingsOf(["serve", "-prefer-native", ...SERVER])).toMatchObject({ preferNative: true });
});

test("the public URL keeps its path but not its trailing slashes", async () => {
  expect(await settingsOf([...SERVER, "-public-url", "https://example.org/matrix//"])).toMatchObject({ publicUrl: "https://example.org/matrix" });
  const wrong = settingsOf(SERVER, { SYNCV3_PUBLIC_URL: "matrix.example.org" });
  await expect(wrong).rejects.toThrow('SYNCV3_PUBLIC_URL: "matrix.example.org" is not an http or https URL');
});

test("a pooler in transaction mode also needs the address of PostgreSQL itself or of NATS", async () => {
  const pooled = [...SERVER, "-db", "host=pooler user=u", "-db-pool-mode", "transaction"];
  await expect(settingsOf(pooled)).rejects.toThrow("own address with -db-direct, or NATS with -bus");
  expect((await settingsOf([...pooled, "-db-direct", "host=pg user=u"])).dbDirect).toMatchObject({ host: "pg" });
  expect((await settingsOf([...pooled, "-bus", "nats://n"])).dbDirect).toBeUndefined();
  await expect(settingsOf([...SERVER, "-db-direct", "host=pg user=u"])).rejects.toThrow("Give -db as well");
  await expect(settingsOf([...pooled, "-db-direct", "host=pg nonsense=1"])).rejects.toThrow("-db-direct: unknown keyword nonsense");
});

test("an option's value may look like an option", async () => {
  expect(await settingsOf([...SERVER, "-secret=-server"])).toMatchObject({ secret: "-server" });
});

test.each([
  [["-port", "99999"]],
  [["-db-pool-mode", "statement"]],
  [["-port", "nonsense"]],
  [["-loglevel", "loud"]],
  [["-trusted-proxies", "10.0.0.0/99"]],
  [["-trusted-proxies", "localhost"]],
  [["-session-idle", "7"]],
  [["-feed-size", "512K"]],
  [["-connection-idle", "30 days"]],
  [["-secret", ""]],
  [["-pass-admin=yes"]],
  [["-prefer-native="]],
])("refused: %s", async (args) => {
  await expect(settingsOf([...SERVER, ...args])).rejects.toThrow(UsageError);
});

test("the message names the variable if the variable was wrong", async () => {
  await expect(settingsOf(SERVER, { SYNCV3_BINDADDR: "x" })).rejects.toThrow(/^SYNCV3_BINDADDR: "x" is not an address/);
});

test("the message lists the values of a switch", async () => {
  await expect(settingsOf([...SERVER, "-pass-admin=maybe"])).rejects.toThrow('-pass-admin: "maybe" is not one of 1, true, 0, false');
  await expect(settingsOf(SERVER, { SYNCV3_PASS_ADMIN: "on" })).rejects.toThrow('SYNCV3_PASS_ADMIN: "on" is not one of 1, true, 0, false');
});

test("without -server there is an error", async () => {
  await expect(settingsOf([])).rejects.toThrow("-server");
});

test.each([[["-nope"]], [["--nope=1"]], [["-server"]], [["a-stray-word"]], [["-servers", "x"]]])("unknown or incomplete: %s", async (args) => {
  await expect(settingsOf([...SERVER, ...args])).rejects.toMatchObject({ name: "CommanderError", exitCode: 1 });
});

test("--help names every option and variable; --version shows the version", async () => {
  for (const [flag, expected] of [
    ["-help", OPTION_TABLE.flatMap((row) => [`--${row.flag}`, row.variable])],
    ["--version", ["1.2.3"]],
  ] as const) {
    let output = "";
    const program = createProgram(
      "1.2.3",
      {},
      {
        serve: async () => {},
        rotateSecret: async () => {},
        endSessions: async () => {},
        status: async () => {},
        forget: async () => {},
        doctor: async () => {},
      },
    );
    program.exitOverride().configureOutput({ writeOut: (text) => void (output += text) });
    await expect(program.parseAsync(doubleDashes([flag]), { from: "user" })).rejects.toMatchObject({ exitCode: 0 });
    for (const text of expected) expect(output).toContain(text);
  }
});

test("rotate-secret accepts the database options and the new secret", async () => {
  const rotate = async (args: string[], env: NodeJS.ProcessEnv = {}) => {
    rotation = undefined;
    await expect(settingsOf(["rotate-secret", ...args], env)).rejects.toThrow("serve was not called");
    return rotation;
  };
  expect(await rotate(["-data", "/data"])).toMatchObject({ data: "/data", db: undefined, secret: undefined, newSecret: undefined });
  expect(await rotate(["-new-secret", "n"], { SYNCV3_SECRET: "o" })).toMatchObject({ secret: "o", newSecret: "n" });
  await expect(settingsOf(["rotate-secret", "-secret", "o"])).rejects.toThrow("-new-secret");
  await expect(settingsOf(["rotate-secret", "-secret", "o", "-new-secret", "o"])).rejects.toThrow(UsageError);
  await expect(settingsOf(["rotate-secret", "-new-secret="])).rejects.toThrow("must not be empty");
  await expect(settingsOf(["rotate-secret", "-server", "http://hs"])).rejects.toThrow("unknown option");
});

test("end-sessions accepts the database options", async () => {
  await expect(settingsOf(["end-sessions", "-data", "/data", "-loglevel", "warn"])).rejects.toThrow("serve was not called");
  expect(ending).toMatchObject({ data: "/data", db: undefined, logLevel: "warn" });
  await expect(settingsOf(["end-sessions", "now"])).rejects.toThrow("too many arguments");
});

test("status and forget accept the database options, and forget a user ID", async () => {
  await expect(settingsOf(["status", "-data", "/data"])).rejects.toThrow("serve was not called");
  await expect(settingsOf(["forget", "@alice:test", "-device", "PHONE", "-data", "/data"])).rejects.toThrow("serve was not called");
  expect(ending).toMatchObject({ data: "/data", user: "@alice:test", device: "PHONE" });
  await expect(settingsOf(["forget", "alice"])).rejects.toThrow(UsageError);
  await expect(settingsOf(["forget"])).rejects.toThrow("missing required argument");
});

test("doctor accepts a URL, and a token only from the environment", async () => {
  await expect(settingsOf(["doctor", "https://matrix.example.org/"], { SYNCV3_TOKEN: "t" })).rejects.toThrow("serve was not called");
  expect(patient).toMatchObject({ url: "https://matrix.example.org", token: "t" });
  await expect(settingsOf(["doctor", "https://matrix.example.org"])).rejects.toThrow("serve was not called");
  expect(patient).toMatchObject({ url: "https://matrix.example.org", token: undefined });
  await expect(settingsOf(["doctor", "matrix"])).rejects.toThrow("is not an http or https URL");
});
