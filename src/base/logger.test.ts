import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { pino } from "pino";
import { LOGGER_OPTIONS } from "./logger.ts";

/** The line that a logger with our options writes for one object. */
function logged(object: Record<string, unknown>): string {
  let text = "";
  const stream = new Writable({ write: (chunk: Buffer, _encoding, done) => ((text += chunk.toString()), done()) });
  pino({ ...LOGGER_OPTIONS, level: "info" }, stream).info(object, "said");
  return text;
}

it("an error is logged without the data that it quotes", () => {
  const database = Object.assign(new Error("duplicate key value"), {
    code: "23505",
    detail: "Key (body)=(CANARY)",
    query: "CANARY",
    parameters: ["CANARY"],
  });
  expect(logged({ err: database })).toContain("duplicate key value");
  expect(logged({ err: database })).toContain("23505");
  expect(logged({ err: database })).not.toContain("CANARY");
  const json = (() => {
    try {
      return JSON.parse("CANARY") as unknown;
    } catch (error) {
      return error;
    }
  })();
  expect(String(json)).toContain("CANARY");
  expect(logged({ err: json })).toContain("not JSON");
  expect(logged({ err: json })).not.toContain("CANARY");
});

it("tokens are not logged, whatever object somebody logs", () => {
  expect(logged({ token: "CANARY", accessToken: "CANARY", headers: { authorization: "CANARY" } })).not.toContain("CANARY");
});
