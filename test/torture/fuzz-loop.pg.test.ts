import { expect, test } from "vitest";
import { fuzzLoop } from "./fuzz-loop.ts";

test(
  "N3 N6: wrong answers of a homeserver stop no account, nothing of them is set aside, and each answer can be read",
  { timeout: 120_000 },
  async () => {
    const report = await fuzzLoop({ minutes: 0.25, seed: 20_261_130, accounts: 3, say: () => {} });
    expect(report).toMatchObject({ setAside: [], stalled: {}, problems: [] });
    expect(report.good).toBeGreaterThan(3);
  },
);
