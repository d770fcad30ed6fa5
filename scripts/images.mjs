/** `npm run images`: takes the screenshots of docs/images again, by the page's test in a real browser (test/e2e/page.e2e.test.ts). */

import { spawnSync } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";

import { ROOT, suitableNode } from "./install.mjs";

/** By the name that the test gives them. */
const IMAGES = { "client-v3": "client", inspector: "inspector" };
const TESTS = ["run", "--project", "e2e", "test/e2e/page", "-t", "^(v3: list|the inspector)"];

const { status } = spawnSync(suitableNode(), [join(ROOT, "node_modules/vitest/vitest.mjs"), ...TESTS], { cwd: ROOT, stdio: "inherit" });
if (status !== 0) throw new Error("The page's tests failed, so there are no new screenshots");
for (const [taken, name] of Object.entries(IMAGES)) {
  await copyFile(join(ROOT, `.cache/screenshots/${taken}.png`), join(ROOT, `docs/images/${name}.png`));
}
