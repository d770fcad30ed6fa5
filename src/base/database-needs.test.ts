import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findPostgres } from "../cli/postgres-program.ts";
import { type DatabaseNeed, needOf } from "./database-needs.ts";

const failing = (code?: unknown) => Object.assign(new Error("no"), code === undefined ? {} : { code });

/** Every SQLSTATE for which it is right to try again later; all others in the appendix are "unknown". */
const WAITED_OUT: Readonly<Record<Exclude<DatabaseNeed, "unknown">, readonly string[]>> = {
  connection: ["08000", "08001", "08003", "08004", "08006", "08007", "08P01", "25P03", "3D000", "40003", "53300", "57P05"],
  disk: ["53100", "58000", "58030", "58P01", "58P02", "58P03"],
  locks: ["55006", "55P03"],
  rights: ["28000", "28P01", "42501"],
  read_only: ["25006"],
  shutdown: ["57000", "57P01", "57P02", "57P03", "57P04"],
  serialization: ["40000", "40001", "40P01"],
};

/** The list from which PostgreSQL's own appendix is generated, as it comes with the embedded PostgreSQL. */
async function appendix(): Promise<string[]> {
  const { postgres } = await findPostgres();
  const lines = (await readFile(join(postgres, "../../share/postgresql/errcodes.txt"), "utf8")).split("\n");
  return [...new Set(lines.flatMap((line) => /^([0-9A-Z]{5}) /.exec(line)?.[1] ?? []))];
}

test("N3 N8: every SQLSTATE of PostgreSQL's appendix has the need listed here, all others have none", async () => {
  const states = await appendix();
  expect(states.length).toBeGreaterThan(240);
  const found: Record<string, string[]> = {};
  for (const state of states) (found[needOf(failing(state))] ??= []).push(state);
  const { unknown, ...waitedOut } = found;
  for (const list of Object.values(waitedOut)) list.sort();
  expect(waitedOut).toEqual(WAITED_OUT);
  for (const state of ["21000", "22P05", "23505", "40002", "42P01", "53200", "54000", "57014", "P0001", "XX001"]) expect(unknown).toContain(state);
});

test.each(["08P99", "57P99", "58ZZZ"])("N3: an unlisted code of a class, %s, is as its class", (code) => {
  expect(needOf(failing(code))).not.toBe("unknown");
});

test.each([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "SASL_SIGNATURE_MISMATCH",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "EPERM",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "ERR_STREAM_DESTROYED",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
])("N8: %s is a matter of the connection", (code) => {
  expect(needOf(failing(code))).toBe("connection");
});

test.each(["UNDEFINED_VALUE", "MAX_PARAMETERS_EXCEEDED", "UNSAFE_TRANSACTION", "ERR_INVALID_ARG_TYPE", "5", 57, "", undefined])(
  "N3: %s says nothing of what is needed",
  (code) => {
    expect(needOf(failing(code))).toBe("unknown");
  },
);

test("N3: a value that is not an error, or hides its code, has no need", () => {
  for (const thrown of [null, undefined, "57P01", { code: "57P01" }, new Error("x", { cause: failing("57P01") })]) {
    expect(needOf(thrown)).toBe("unknown");
  }
});
