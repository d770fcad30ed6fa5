import { expect, test } from "vitest";
import * as errors from "./errors.ts";

test.each<[errors.MatrixError, number, object]>([
  [errors.missingToken(), 401, { errcode: "M_MISSING_TOKEN", error: "Missing access token" }],
  [errors.missingToken("in the query"), 401, { errcode: "M_MISSING_TOKEN", error: "in the query" }],
  [errors.unknownToken(), 401, { errcode: "M_UNKNOWN_TOKEN", error: "Unknown access token", soft_logout: false }],
  [errors.unknownToken(true), 401, { errcode: "M_UNKNOWN_TOKEN", error: "Unknown access token", soft_logout: true }],
  [errors.notJson(), 400, { errcode: "M_NOT_JSON", error: "The request body is not JSON" }],
  [errors.badJson("typing.room_id", "must be string"), 400, { errcode: "M_BAD_JSON", error: "typing.room_id: must be string" }],
  [errors.badJson("", "must be object"), 400, { errcode: "M_BAD_JSON", error: "must be object" }],
  [errors.tooLarge(), 413, { errcode: "M_TOO_LARGE", error: "The request body is too large" }],
  [errors.invalidParam("timeout"), 400, { errcode: "M_INVALID_PARAM", error: "timeout" }],
  [errors.unknownSession(), 400, { errcode: "M_UNKNOWN_SYNC_SESSION", error: "Session unknown or expired" }],
  [errors.unknownPos(), 400, { errcode: "M_UNKNOWN_POS", error: "Unknown position" }],
  [errors.unrecognized(), 404, { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" }],
  [errors.unrecognized(405), 405, { errcode: "M_UNRECOGNIZED", error: "Method not allowed" }],
  [errors.notFound(), 404, { errcode: "M_NOT_FOUND", error: "Not found" }],
  [errors.forbidden("no"), 403, { errcode: "M_FORBIDDEN", error: "no" }],
  [errors.limitExceeded(1500), 429, { errcode: "M_LIMIT_EXCEEDED", error: "Too many requests", retry_after_ms: 1500 }],
  [errors.badGateway("away"), 502, { errcode: "M_UNKNOWN", error: "away" }],
  [errors.unavailable("starting"), 503, { errcode: "M_UNKNOWN", error: "starting" }],
  [errors.internalError(), 500, { errcode: "M_UNKNOWN", error: "Internal server error" }],
])("%s", (error, status, body) => {
  expect(error).toBeInstanceOf(Error);
  expect(error.status).toBe(status);
  expect(error.toBody()).toStrictEqual(body);
});

test("R11's body is exactly that of the contract, in its order", () => {
  expect(JSON.stringify(errors.unknownSession().toBody())).toBe('{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}');
});

test.each([
  [0, "0"],
  [1, "1"],
  [1000, "1"],
  [1001, "2"],
  [-5, "0"],
])("Retry-After for %d ms is %s s", (ms, header) => {
  expect(errors.limitExceeded(ms).headers).toEqual({ "retry-after": header });
});

test("extra members never replace errcode and error", () => {
  expect(new errors.MatrixError(400, "M_A", "text", { errcode: "M_B", error: "other", x: 1 }).toBody()).toEqual({
    errcode: "M_A",
    error: "text",
    x: 1,
  });
});
