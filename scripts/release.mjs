/**
 * `node scripts/release.mjs VERSION [--no-test]`: makes a release of what is committed: tests, sets the version, dates the changelog, packs
 * both packages with their SBOM and checksums into `release/`, commits and tags. Nothing leaves the machine: it says what to push and publish.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installOnce, ROOT } from "./install.mjs";

const HELP = "node scripts/release.mjs VERSION [--no-test]: packs, commits and tags a release; publishes nothing";
const PACKAGES = ["package.json", "packages/client/package.json"];
const OUTPUT = join(ROOT, "release");

const args = process.argv.slice(2);
const version = args.find((arg) => !arg.startsWith("-"));
if (args.includes("--help") || version === undefined) {
  console.log(HELP);
  process.exit(version === undefined && !args.includes("--help") ? 2 : 0);
}
installOnce();

/** Runs it; its output. Ends the process where it fails. */
function run(file, ...rest) {
  const { status, stdout, stderr } = spawnSync(file, rest, { cwd: ROOT, encoding: "utf8", maxBuffer: 1e9 });
  if (status !== 0) refuse(`${file} ${rest.join(" ")} failed\n${stdout}${stderr}`);
  return stdout;
}
function refuse(reason) {
  console.error(`syncv3: no release: ${reason}`);
  process.exit(1);
}
const step = (text) => console.log(`== ${text}`);

if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) refuse(`"${version}" is not a version such as 0.2.0`);
if (run("git", "status", "--porcelain").trim() !== "") refuse("there are changes that are not committed");
if (run("git", "tag", "--list", `v${version}`).trim() !== "") refuse(`v${version} is there already`);
const changelog = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8");
const heading = `## [${version}] - unreleased`;
if (!changelog.includes(heading)) refuse(`CHANGELOG.md has no "${heading}"`);

if (!args.includes("--no-test")) {
  step("tests");
  if (spawnSync("npm", ["test"], { cwd: ROOT, stdio: "inherit" }).status !== 0) refuse("the tests fail");
}

step(`version ${version}`);
for (const path of PACKAGES) {
  const file = join(ROOT, path);
  writeFileSync(file, readFileSync(file, "utf8").replace(/^( {2}"version": )".*"/m, `$1"${version}"`));
}
run("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--offline");
writeFileSync(join(ROOT, "CHANGELOG.md"), changelog.replace(heading, `## [${version}] - ${new Date().toISOString().slice(0, 10)}`));

step("packages");
rmSync(OUTPUT, { recursive: true, force: true });
mkdirSync(OUTPUT);
run("npm", "pack", "--pack-destination", OUTPUT);
run("npm", "pack", "--workspace", "@syncv3/client", "--pack-destination", OUTPUT);
writeFileSync(join(OUTPUT, `syncv3-${version}.cdx.json`), run("npm", "run", "--silent", "sbom"));
const sums = readdirSync(OUTPUT).map(
  (name) =>
    `${createHash("sha256")
      .update(readFileSync(join(OUTPUT, name)))
      .digest("hex")}  ${name}\n`,
);
writeFileSync(join(OUTPUT, "SHA256SUMS"), sums.join(""));

step(`commit and tag v${version}`);
run("git", "commit", "--quiet", "--all", "--message", `Release ${version}`);
run("git", "tag", "--annotate", `v${version}`, "--message", `syncv3 ${version}`);
console.log(`${readdirSync(OUTPUT).join("\n")}\nare in release/. To publish:
  git push --follow-tags
  npm publish release/syncv3-${version}.tgz
  npm publish --access public release/syncv3-client-${version}.tgz`);
