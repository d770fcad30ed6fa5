/** `node scripts/run.mjs FILE ARGS`: installs what is missing, then runs a TypeScript file of this checkout on a Node that can. */

import { spawn } from "node:child_process";
import { join } from "node:path";

import { installOnce, ROOT, suitableNode } from "./install.mjs";

installOnce();
const [file, ...args] = process.argv.slice(2);
const child = spawn(suitableNode(), [join(ROOT, file), ...args], { stdio: "inherit" });
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code) => process.exit(code ?? 1));
