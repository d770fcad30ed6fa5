/** `npm start -- …`: installs and builds what is missing, then runs bin/syncv3 on a Node that can. */

import { spawn } from "node:child_process";
import { join } from "node:path";

import { buildPageOnce, installOnce, ROOT, suitableNode } from "./install.mjs";

installOnce();
buildPageOnce();
const node = suitableNode();
const command = join(ROOT, "bin/syncv3");
const args = process.argv.slice(2);
if (node === process.execPath) {
  const { main } = await import("../src/cli/main.ts");
  process.exit(await main(args));
} else {
  // The channel tells the server when we are gone, however that came.
  const child = spawn(node, [command, ...args], { stdio: ["inherit", "inherit", "inherit", "ipc"] });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`syncv3: ${node}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code) => process.exit(code ?? 1));
}
