/** Clients in processes of their own, driven over a pipe: the Rust SDK of Element X, and matrix-nio. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { cargoBuild, rustLack } from "../support/cargo-build.ts";
import { installPackage } from "../support/python-package.ts";
import { RustClient } from "../support/rust-client.ts";
import type { ClientKind, DrivenClient, LaunchClient } from "./driven-client.ts";

const NIO = "0.26.0";
/** Messages that are loaded with one page. */
const PAGE = 30;

export const rust: ClientKind = {
  name: "matrix-rust-sdk",
  async prepare(say) {
    const lack = rustLack();
    if (lack !== undefined) return lack;
    return launching(process.env["SYNCV3_TEST_RUST_CLIENT"] ?? (await cargoBuild("rust", "rust-client", say)));
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
    listed: (roomId) => client.until((view) => view.room(roomId)?.state === "joined" && (view.room(roomId)?.name ?? undefined)),
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
