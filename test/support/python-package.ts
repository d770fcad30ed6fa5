/** Programs from PyPI, each in a cache folder of the checkout: installed once. */

import { spawn } from "node:child_process";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

const CACHE = join(import.meta.dirname, "../../.cache");

/**
 * The Python that has the package; installs it at the first call (a minute or two). Needs Python 3.10 or later; as root on Debian or Ubuntu
 * `python3-venv` is installed where it is missing. `say` is told what happens. `extra`: an optional part of the package.
 */
export async function installPackage(name: string, version: string, say: (line: string) => void, extra?: string): Promise<string> {
  const home = join(CACHE, `${name}-${version}`);
  const python = join(home, "bin/python");
  if (await exists(python)) return python;
  // Made beside and renamed, so that what is there is whole. (Its scripts would not survive that, but `python -m` does.)
  const unfinished = `${home}.${process.pid}`;
  await mkdir(CACHE, { recursive: true });
  try {
    say(`Installing ${name} ${version} into ${home} (once)`);
    await makeEnvironment(unfinished, say);
    await run(join(unfinished, "bin/python"), [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      `${name}${extra === undefined ? "" : `[${extra}]`}==${version}`,
    ]);
    await rename(unfinished, home).catch(async (error: unknown) => {
      // Another run was quicker.
      if (!(await exists(python))) throw error;
    });
    say(`Installed ${name}`);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return python;
}

async function makeEnvironment(directory: string, say: (line: string) => void): Promise<void> {
  try {
    await run("python3", ["-m", "venv", directory]);
  } catch (error) {
    if (process.getuid?.() !== 0)
      throw new Error("Python 3.10 or later with venv is needed (Debian: apt-get install python3-venv)", { cause: error });
    say("Installing python3-venv with apt-get");
    await rm(directory, { recursive: true, force: true });
    await run("apt-get", ["update", "-qq"]);
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "python3-venv"]);
    await run("python3", ["-m", "venv", directory]);
  }
}

async function run(file: string, args: readonly string[]): Promise<void> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const code = await new Promise((done, fail) => child.once("error", fail).once("close", done));
  if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with ${String(code)}:\n${output}`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
