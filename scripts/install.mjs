/** Installs what package-lock.json names where it is not there yet. Plain JavaScript, for Node 18 and later. */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs `npm ci` unless node_modules is whole and of this package-lock.json. Ends the process where that fails. */
export function installOnce() {
  if (isInstalled()) return;
  console.error("syncv3: installing dependencies with npm ci (once; about half a minute)");
  // The npm that runs us, not another one of the path.
  const npm = process.env.npm_execpath;
  const [file, args] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  const { status, error } = spawnSync(file, [...args, "ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  console.error(`syncv3: npm ci failed${error ? `: ${error.message}` : ""}`);
  process.exit(1);
}

/** The Node to run on: this one, or where it is too old to strip types the one that npm installed. */
export function suitableNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath;
  return join(ROOT, "node_modules/node/bin/node");
}

/** npm writes its own lock file into node_modules last of all: that file names what is there. */
function isInstalled() {
  const installed = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return false;
  const there = JSON.parse(readFileSync(installed, "utf8")).packages;
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, optional }]) => path === "" || optional || there[path]?.version === version);
}

/** Builds the page /client/ (a second or less) where it is not as its sources are. Without it the server serves all the same. */
export function buildPageOnce() {
  const built = join(ROOT, "dist/page/index.html");
  const sources = ["page", "packages/client/src"].flatMap((directory) =>
    readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true }).map((entry) => join(entry.parentPath, entry.name)),
  );
  if (existsSync(built) && sources.every((path) => statSync(path).mtimeMs <= statSync(built).mtimeMs)) return;
  const vite = join(ROOT, "node_modules/vite/bin/vite.js");
  if (!existsSync(vite)) return;
  spawnSync(suitableNode(), [vite, "build", "page", "--logLevel", "warn"], { cwd: ROOT, stdio: ["ignore", 2, 2] });
}
