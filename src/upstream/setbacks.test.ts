import { expect, test } from "vitest";
import { isBefore } from "./setbacks.ts";

test.each([
  ["s9_1_2", "s10_1_2", true],
  ["s10_1_2", "s10_9_9", false],
  ["s11", "s10_1", false],
  ["t5-90_1", "t3-100_2", true],
  ["t2-100_1", "t3-100_2", false],
  ["m5~2.7_1", "m6~2.7_1", true],
  ["m6~2.7_1", "m6~2.8_1", true],
  // A writer that is not named is at the least place of all.
  ["m6_1", "m6~2.8_1", true],
  ["m8_1", "m6~2.8_1", false],
  ["s5_1", "m6~2.8_1", true],
  ["m9~2.10", "s9_1", false],
  // Synapse's account data, to-device messages, device lists.
  ["s9_1_2_3_40_5_60_70_1_1_1_1_1_1", "s9_1_2_3_41_5_60_70_1_1_1_1_1_1", true],
  ["s10_1_2_3_40_5_60_70_1_1_1_1_1_1", "s9_1_2_3_40_5_61_70_1_1_1_1_1_1", true],
  ["s10_1_2_3_40_5_60_70_1_1_1_1_1_1", "s9_1_2_3_40_5_60_71_1_1_1_1_1_1", true],
  // Typing begins anew when Synapse does.
  ["s10_1_2_3_40_5_60_70_1_1_1_1_1_1", "s9_1_9_3_40_5_60_70_1_1_1_1_1_1", false],
  ["s10_1_2_3_40_5_6_7_8", "s9_1_2_3_41_5_7_8_8", false],
  // Other forms are not compared.
  ["abc", "abd", false],
  ["12", "13", false],
  ["s9x_1", "s10_1", false],
  ["t5-90_1", "s100_1", false],
])("T3: %s is before %s: %s", (token, other, expected) => {
  expect(isBefore(token, other)).toBe(expected);
});
