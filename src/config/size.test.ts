import { expect, test } from "vitest";

import { parseSize } from "./size.ts";

test.each([
  ["1000", 1000],
  ["512K", 524_288],
  ["2m", 2_097_152],
  ["1G", 1_073_741_824],
  [" 3MiB ", 3_145_728],
  ["3MB", 3_145_728],
])("%s is %d bytes", (text, bytes) => {
  expect(parseSize(text, 1, 2 ** 40)).toBe(bytes);
});

test.each(["", "M", "1.5M", "-1", "1T", "1 M x", "0", "999"])("%j is not a size of at least 1000 bytes", (text) => {
  expect(parseSize(text, 1000, 2 ** 40)).toBeUndefined();
});
