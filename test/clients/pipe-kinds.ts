/** Clients in processes of their own, driven over a pipe: the Rust SDK of Element X, matrix-nio, and mautrix-go. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { cargoBuild, cargoLack } from "../support/cargo-build.ts";
import { installPackage } from "../support/python-package.ts";
import { RustClient } from "../support/rust-client.ts";
import type { ClientKind, DrivenClient, LaunchClient } from "./driven-client.ts";

const CACHE = join(import.meta.dirname, "../../.cache");
const NIO = "0.26.0";
/** Messages that are loaded with one page. */
const PAGE = 30;

export const rust: ClientKind = {
  name: "matrix-rust-sdk",
  async prepare(say) {
    const built = process.env["SYNCV3_TEST_RUST_CLIENT"];
    if (built !== undefined) return launching(built);
    return cargoLack() ?? launching(await cargoBuild("rust", "rust-client", say));
  },
};

export const mautrix: ClientKind = {
  name: "mautrix-go",
  async prepare(say) {
    if (spawnSync("go", ["version"]).status !== 0) return "there is no go on the PATH (https://go.dev)";
    const program = join(CACHE, "mautrix-client");
    say("Building mautrix-go (some minutes, the first time)");
    const cwd = join(import.meta.dirname, "mautrix");
    // Its encryption in Go, not in C; its database needs a C compiler all the same.
    const { status, stderr } = spawnSync("nice", ["go", "build", "-tags", "goolm", "-o", program, "."], { cwd, encoding: "utf8" });
    return status === 0 ? launching(program) : `go build ended with ${String(status)}: ${stderr.slice(-1000)}`;
  },
};

export const nio: ClientKind = {
  name: "matrix-nio",
  async prepare(say) {
    if (spawnSync("python3", ["--version"]).status !== 0) return "there is no python3 on the PATH";
    const python = await installPackage("matrix-nio", NIO, say, "e2e");
    return launching(python, join(import.meta.dirname, "nio/client.py"));
  },
};

function launching(program: string, ...args: readonly string[]): LaunchClient {
  return async ({ url, ...login }, again) => {
    const client = new RustClient(program, args);
    const { user_id: userId } = await (again ? client.restore(url, login.store) : client.login({ homeserver: url, ...login }));
    await client.start();
    return driven(client, userId);
  };
}

function driven(client: RustClient, userId: string): DrivenClient {
  return {
    userId,
    listed: async (roomId, name) => {
      await client.until((view) => view.room(roomId)?.state === "joined" && (name === undefined || view.room(roomId)?.name === name));
    },
    invited: async (roomId) => void (await client.until((view) => view.room(roomId)?.state === "invited")),
    join: async (roomId) => {
      await client.join(roomId);
      await client.until((view) => view.room(roomId)?.state === "joined");
    },
    open: (roomId) => client.open(roomId),
    shows: async (roomId, text) => void (await client.until((view) => view.message(roomId, text))),
    toStart: async (roomId) => {
      // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
      while (!(await client.older(PAGE)));
      return client.view.timeline(roomId).flatMap(({ body }) => body ?? []);
    },
    send: async (roomId, text) => void (await client.send(roomId, text)),
    markRead: () => client.markRead(),
    readBy: async (roomId, text, reader) => void (await client.until((view) => view.message(roomId, text)?.read_by.includes(reader))),
    createDm: (other) => client.createDm(other),
    stop: () => client.close(),
  };
}
