/** `node scripts/conformance.mjs`: writes the test files of every rule into docs/CONFORMANCE.md, and names the rules that have none. */

import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

if (process.features.typescript) await write();
else {
  // An older Node than the one in node_modules.
  const node = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
  process.exitCode = spawnSync(node, [fileURLToPath(import.meta.url)], { stdio: "inherit" }).status ?? 1;
}

async function write() {
  const { CONFORMANCE, provenBy, rowsOf, withFiles } = await import("../test/support/conformance.ts");
  const files = provenBy();
  const before = readFileSync(CONFORMANCE, "utf8");
  writeFileSync(CONFORMANCE, withFiles(before, files));
  const ids = new Set(rowsOf(before).map((row) => row.id));
  console.log(`without a test: ${[...ids].filter((id) => !files.has(id)).join(" ") || "none"}`);
  console.log(`in titles, without a row: ${[...files.keys()].filter((id) => !ids.has(id)).join(" ") || "none"}`);
}
