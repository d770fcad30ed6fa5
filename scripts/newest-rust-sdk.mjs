/**
 * `node scripts/newest-rust-sdk.mjs`: paging back (T20) with matrix-rust-sdk 0.19.1. The client in test/clients/rust is built with 0.18, which
 * the other tests and CI use; 0.19 needs Rust 1.96 and takes as long to build again. Its copy and what it is built into are in .cache.
 * `CARGO_TOOLCHAIN=+nightly` where the default toolchain is older.
 */

import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const COPY = join(ROOT, ".cache/rust19");
const TARGET = join(ROOT, ".cache/rust19-target");

cpSync(join(ROOT, "test/clients/rust"), COPY, { recursive: true, filter: (path) => !path.endsWith("Cargo.lock") });
edit("Cargo.toml", [
  ["=0.18.0", "=0.19.1"],
  ['rust-version = "1.93"', 'rust-version = "1.96"'],
  // 0.19 brings no TLS of its own without default features.
  ["serde_json =", 'rustls = { version = "0.23", default-features = false, features = ["ring", "std"] }\nserde_json ='],
]);
edit("src/session.rs", [["subscribe_to_rooms", "set_room_subscriptions"]]);
const main = "async fn main() -> anyhow::Result<()> {";
edit("src/main.rs", [[main, `${main}\n    rustls::crypto::ring::default_provider().install_default().expect("no other provider is installed");`]]);
const toolchain = process.env["CARGO_TOOLCHAIN"] === undefined ? [] : [process.env["CARGO_TOOLCHAIN"]];
run("cargo", [...toolchain, "build", "--manifest-path", join(COPY, "Cargo.toml")], { CARGO_TARGET_DIR: TARGET });
run("npx", ["vitest", "run", "--project", "e2e", "test/e2e/rust-history"], { SYNCV3_TEST_RUST_CLIENT: join(TARGET, "debug/rust-client") });

/** Replaces texts that must be there. */
function edit(name, pairs) {
  const path = join(COPY, name);
  let text = readFileSync(path, "utf8");
  for (const [before, after] of pairs) {
    if (!text.includes(before)) throw new Error(`${name} has no ${before}`);
    text = text.replaceAll(before, after);
  }
  writeFileSync(path, text);
}

function run(command, args, env) {
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } });
  if (status !== 0) process.exit(status ?? 1);
}
