/** Rust programs of the tests, built by cargo into the cache folder of the checkout: in minutes the first time, in a second later. */

import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const TARGET = join(ROOT, ".cache/rust-target");
/** A line for so many packages. */
const TELL_EVERY = 50;

/** The `rust-version` of the programs: 1.this. */
const OLDEST_MINOR = 93;

/** For the hook that builds: enough on a slow machine with nothing cached. */
export const CARGO_TIMEOUT_MS = 20 * 60_000;

/** Why tests with a Rust program are left out: they were not asked for, or there is no cargo on the PATH, or too old a one; undefined: they run. */
export function rustLack(): string | undefined {
  return process.env["SYNCV3_TEST_RUST"] === "1" ? cargoLack() : "`npm run rust` runs them";
}

/** Why programs cannot be built: there is no cargo on the PATH, or too old a one; undefined: they can. */
export function cargoLack(): string | undefined {
  const answer = spawnSync("cargo", ["--version"], { encoding: "utf8" });
  const minor = /^cargo 1\.(\d+)\./.exec(answer.stdout ?? "")?.[1];
  if (answer.status !== 0 || minor === undefined) return "there is no cargo on the PATH (https://rustup.rs)";
  return Number(minor) < OLDEST_MINOR ? `cargo 1.${minor} is older than 1.${OLDEST_MINOR}` : undefined;
}

/** Builds `test/clients/<directory>`, whose program is called `name`; the program's path. `say` is told how far it is. */
export async function cargoBuild(directory: string, name: string, say: (line: string) => void): Promise<string> {
  const manifest = join(ROOT, "test/clients", directory, "Cargo.toml");
  // Politely: other tests run beside it, and they have deadlines.
  const child = spawn("nice", ["-n", "10", "cargo", "build", "--locked", "--manifest-path", manifest], {
    env: { ...process.env, CARGO_TARGET_DIR: TARGET, CARGO_TERM_COLOR: "never" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  // It must not outlive a test run that ends without waiting for it.
  const end = (): boolean => child.kill();
  process.once("exit", end);
  let output = "";
  let packages = 0;
  child.stderr.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().split("\n")) {
      if (!line.includes("Compiling ")) continue;
      if (packages % TELL_EVERY === 0) say(`Building ${name} with cargo (once): package ${packages + 1}`);
      packages += 1;
    }
    output = (output + chunk.toString()).slice(-4000);
  });
  try {
    const code = await new Promise((done, fail) => child.once("error", fail).once("close", done));
    if (code !== 0) throw new Error(`cargo build of ${name} ended with ${String(code)}:\n${output}`);
  } finally {
    process.off("exit", end);
  }
  return join(TARGET, "debug", name);
}
