/** `node scripts/conformance.mjs`: writes the test files of every rule into docs/CONFORMANCE.md, and names the rules that have none. */

import { readFileSync, writeFileSync } from "node:fs";
import { CONFORMANCE, provenBy, rowsOf, withFiles } from "../test/support/conformance.ts";

const files = provenBy();
const before = readFileSync(CONFORMANCE, "utf8");
writeFileSync(CONFORMANCE, withFiles(before, files));
const ids = new Set(rowsOf(before).map((row) => row.id));
console.log(`without a test: ${[...ids].filter((id) => !files.has(id)).join(" ") || "none"}`);
console.log(`in titles, without a row: ${[...files.keys()].filter((id) => !ids.has(id)).join(" ") || "none"}`);
