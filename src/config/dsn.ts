/** Parses the address of PostgreSQL from `-db`: libpq's keyword form or a URL. */

import type { DbOptions } from "../store/db.ts";

/** `-db` cannot be parsed. The message may be shown: it never contains the password. */
export class BadDsn extends Error {
  override readonly name = "BadDsn";
}

/** Keywords of libpq that are accepted and ignored, because they have no effect here. */
const IGNORED = new Set(["gssencmode", "krbsrvname", "channel_binding", "target_session_attrs", "client_encoding", "fallback_application_name"]);
/** In a URL, a socket path is the percent-encoded host: `postgres://user@%2Frun%2Fpostgresql/name`. */
const URL_FORM = /^postgres(?:ql)?:\/\/(?:([^:@/?]*)(?::([^@/?]*))?@)?([^:/?@\s]*|\[[^\]\s]*\])(?::(\d*))?(?:\/([^?]*))?(?:\?(.*))?$/;

/**
 * `user=me dbname=syncv3 sslmode=disable` (libpq's quoting) or `postgres://me:pw@host:5432/syncv3?sslmode=require`.
 * Missing settings have libpq's defaults, including PGUSER and the other variables. Over a network sslmode defaults to `prefer`.
 * @throws BadDsn, whose message names `option`
 */
export function parseDsn(dsn: string, env: NodeJS.ProcessEnv = process.env, option = "-db"): DbOptions {
  const text = dsn.trim();
  try {
    const settings = /^postgres(ql)?:/.test(text) ? urlSettings(text) : keywordSettings(text);
    return toOptions(settings, env);
  } catch (error) {
    throw error instanceof BadDsn ? new BadDsn(error.message.replace(/^-db:/, `${option}:`)) : error;
  }
}

function urlSettings(text: string): Map<string, string> {
  const match = URL_FORM.exec(text);
  if (match === null) throw new BadDsn("-db: this is not a URL of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=disable");
  const [, user, password, host, port, database, query] = match;
  const settings = new Map<string, string>();
  const put = (key: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") settings.set(key, decode(value));
  };
  put("user", user);
  put("password", password);
  put("host", host?.replace(/^\[(.*)\]$/, "$1"));
  put("port", port);
  put("dbname", database);
  for (const pair of (query ?? "").split("&")) {
    const at = pair.indexOf("=");
    if (at > 0) put(decode(pair.slice(0, at)), pair.slice(at + 1));
  }
  return settings;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new BadDsn("-db: invalid percent-encoding in the URL");
  }
}

/** Parses `key = value`. Spaces around `=` are allowed; values with spaces are in single quotes, with `\'` and `\\` as escapes. */
function keywordSettings(text: string): Map<string, string> {
  const settings = new Map<string, string>();
  const item = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gsuy;
  while (item.lastIndex < text.length) {
    const at = item.lastIndex;
    const match = item.exec(text);
    const key = match?.[1];
    if (match === null || key === undefined) {
      throw new BadDsn(`-db: expected KEY=VALUE at character ${at + 1}, e.g. "user=syncv3 dbname=syncv3 sslmode=disable"`);
    }
    settings.set(key, (match[2] ?? match[3] ?? "").replaceAll(/\\(.)/gsu, "$1"));
  }
  return settings;
}

function toOptions(settings: ReadonlyMap<string, string>, env: NodeJS.ProcessEnv): DbOptions {
  const known = new Set([
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "options",
    "application_name",
    "connect_timeout",
  ]);
  for (const key of settings.keys()) {
    if (!known.has(key) && !IGNORED.has(key)) throw new BadDsn(`-db: unknown keyword ${key}`);
  }
  const get = (key: string, variable: string): string | undefined => settings.get(key) ?? nonEmpty(env[variable]);
  const host = settings.get("hostaddr") ?? get("host", "PGHOST") ?? "localhost";
  if (host.includes(",")) throw new BadDsn("-db: several hosts are not supported: give one");
  const port = parsePort(get("port", "PGPORT") ?? "5432");
  const username = get("user", "PGUSER") ?? nonEmpty(env["USER"]) ?? "postgres";
  const password = get("password", "PGPASSWORD");
  const connection = {
    ...pick(settings, "application_name"),
    ...pick(settings, "options"),
  };
  const isSocket = host.startsWith("/");
  return {
    ...(isSocket ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }),
    database: get("dbname", "PGDATABASE") ?? username,
    username,
    ...(password === undefined ? {} : { password }),
    ssl: isSocket ? false : sslOf(get("sslmode", "PGSSLMODE") ?? "prefer", settings.get("sslrootcert")),
    ...(Object.keys(connection).length === 0 ? {} : { connection }),
  };
}

/** libpq's modes: `allow` and `prefer` work with or without TLS, `require` does not check the certificate, `verify-*` do. */
function sslOf(mode: string, rootCertificate: string | undefined): NonNullable<DbOptions["ssl"]> {
  switch (mode) {
    case "disable":
      return false;
    case "allow":
    case "prefer":
      return "prefer";
    case "require":
      return "require";
    case "verify-ca":
    case "verify-full":
      if (rootCertificate !== undefined && rootCertificate !== "system") {
        throw new BadDsn("-db: sslrootcert is not supported. Set the variable NODE_EXTRA_CA_CERTS to the file instead");
      }
      return "verify-full";
    default:
      throw new BadDsn(`-db: unknown sslmode ${mode}. Use disable, prefer, require or verify-full`);
  }
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw new BadDsn(`-db: "${text}" is not a port number`);
  return port;
}

function pick(settings: ReadonlyMap<string, string>, key: string): Record<string, string> {
  const value = settings.get(key);
  return value === undefined ? {} : { [key]: value };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
