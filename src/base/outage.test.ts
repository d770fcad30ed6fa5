import { expect, test, vi } from "vitest";
import { isOutage, throughOutage } from "./outage.ts";

const failing = (code?: string) => Object.assign(new Error("no"), code === undefined ? {} : { code });
const never = new AbortController().signal;

test.each(["CONNECTION_CLOSED", "ECONNREFUSED", "ENOENT", "57P01", "57P03", "08006", "53100", "53200", "53300", "25006"])("%s passes", (code) => {
  expect(isOutage(failing(code))).toBe(true);
});

test.each(["23505", "22P05", "42P01", "42501", "57014", "55P03", "40001", "UNDEFINED_VALUE", "5", undefined])("%s does not", (code) => {
  expect(isOutage(failing(code))).toBe(false);
});

test("the body runs again until the database is back", async () => {
  const body = vi
    .fn<() => Promise<string>>()
    .mockRejectedValueOnce(failing("CONNECTION_CLOSED"))
    .mockRejectedValueOnce(failing("57P03"))
    .mockResolvedValue("there");
  expect(await throughOutage(body, never)).toBe("there");
  expect(body).toHaveBeenCalledTimes(3);
});

test("other errors are thrown at once", async () => {
  const body = vi.fn<() => Promise<string>>().mockRejectedValue(failing("23505"));
  await expect(throughOutage(body, never)).rejects.toMatchObject({ code: "23505" });
  expect(body).toHaveBeenCalledTimes(1);
});

test("if the database stays away the last error is thrown, at once if the caller no longer waits", async () => {
  const body = vi.fn<() => Promise<string>>().mockRejectedValue(failing("ECONNREFUSED"));
  await expect(throughOutage(body, never, 200)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(body.mock.calls.length).toBeGreaterThan(1);
  body.mockClear();
  await expect(throughOutage(body, AbortSignal.abort())).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(body).toHaveBeenCalledTimes(1);
});
