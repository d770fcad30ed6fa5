import { describe, expect, test } from "vitest";

import { BadDsn, parseDsn } from "./dsn.ts";

const parse = (dsn: string, env: NodeJS.ProcessEnv = {}) => parseDsn(dsn, env);

describe("keyword form", () => {
  test("typical values", () => {
    expect(parse("user=syncv3 dbname=sync sslmode=disable password=x")).toEqual({
      host: "localhost",
      port: 5432,
      username: "syncv3",
      database: "sync",
      password: "x",
      ssl: false,
    });
  });

  test("quotes, escapes and spaces around the equals sign, as in libpq", () => {
    expect(parse(String.raw`user = 'a b'  password='it\'s \\ here' dbname=x\ y`)).toMatchObject({
      username: "a b",
      password: String.raw`it's \ here`,
      database: "x y",
    });
    expect(parse("user=u password=''")).toMatchObject({ username: "u", password: "" });
  });

  test("a host that begins with a slash is the socket's directory, without TLS", () => {
    expect(parse("host=/run/postgresql port=5433 user=u")).toEqual({
      path: "/run/postgresql/.s.PGSQL.5433",
      database: "u",
      username: "u",
      ssl: false,
    });
  });

  test("an address has priority over the host's name; options and the application name are sent to the server", () => {
    expect(parse("host=db hostaddr=10.0.0.1 user=u application_name=a options='-c work_mem=8MB'")).toMatchObject({
      host: "10.0.0.1",
      connection: { application_name: "a", options: "-c work_mem=8MB" },
    });
  });

  test.each(["nonsense", "user=u x", "user='u", "=u", "user=u bad-key=1", "user=u'x'"])("refused: %s", (dsn) => {
    expect(() => parse(dsn)).toThrow(BadDsn);
  });
});

describe("URL form", () => {
  test("typical values, percent-encoded", () => {
    expect(parse("postgres://us%40er:p%2Fw@db.example.org:5433/my%20db?sslmode=require&application_name=a")).toEqual({
      host: "db.example.org",
      port: 5433,
      username: "us@er",
      password: "p/w",
      database: "my db",
      ssl: "require",
      connection: { application_name: "a" },
    });
  });

  test("a socket's directory in the host or in the query, an IPv6 address, and an almost empty URL", () => {
    expect(parse("postgresql://u@%2Frun%2Fpg/db")).toMatchObject({ path: "/run/pg/.s.PGSQL.5432", database: "db" });
    expect(parse("postgresql://u@/db?host=/run/pg")).toMatchObject({ path: "/run/pg/.s.PGSQL.5432" });
    expect(parse("postgres://u@[::1]:5433/db")).toMatchObject({ host: "::1", port: 5433 });
    expect(parse("postgres://", { USER: "me" })).toEqual({ host: "localhost", port: 5432, username: "me", database: "me", ssl: "prefer" });
  });

  test.each(["postgres:/x", "postgres://u@h:99999/db", "postgres://u@h/%zz", "postgres://u@a,b/db"])("refused: %s", (dsn) => {
    expect(() => parse(dsn)).toThrow(BadDsn);
  });
});

test.each([
  ["disable", false],
  ["allow", "prefer"],
  ["prefer", "prefer"],
  ["require", "require"],
  ["verify-ca", "verify-full"],
  ["verify-full", "verify-full"],
])("sslmode=%s", (mode, ssl) => {
  expect(parse(`user=u sslmode=${mode}`).ssl).toBe(ssl);
});

test("an unknown sslmode, an unknown keyword and a certificate file that would be ignored are refused", () => {
  expect(() => parse("user=u sslmode=on")).toThrow("sslmode");
  expect(() => parse("user=u sslmod=disable")).toThrow("unknown keyword sslmod");
  expect(() => parse("user=u sslmode=verify-full sslrootcert=/ca.pem")).toThrow("NODE_EXTRA_CA_CERTS");
});

test("missing values come from libpq's variables", () => {
  const env = { PGHOST: "h", PGPORT: "1", PGUSER: "u", PGPASSWORD: "p", PGDATABASE: "d", PGSSLMODE: "disable" };
  expect(parse("sslmode=require user=other", env)).toEqual({ host: "h", port: 1, username: "other", password: "p", database: "d", ssl: "require" });
});

test("no message contains the password", () => {
  for (const dsn of ["user=u password=hunter2 x", "password=hunter2'", "postgres://u:hunter2@h:99999/db", "postgres://u:hunter2@h h/db?"]) {
    expect(() => parse(dsn)).toThrow(expect.objectContaining({ message: expect.not.stringContaining("hunter2") }));
  }
});
