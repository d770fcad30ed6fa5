import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { buildPageOnce } from "../../scripts/install.mjs";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { type FakeHomeserver, startFakeHomeserver } from "../../test/support/fake-homeserver.ts";

let database: TestDatabase;
let homeserver: FakeHomeserver;
beforeAll(async () => {
  buildPageOnce();
  database = await freshDatabase(true);
  homeserver = await startFakeHomeserver();
});
afterAll(async () => {
  await homeserver.stop();
  await database.drop();
});

/** The URLs of the API and the page, from the output of the server; null: there is no page. */
async function start(...args: string[]) {
  const command = runCommand(["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0", ...args], {
    SYNCV3_CLIENT_PORT: "",
  });
  onTestFinished(async () => {
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });
  const api = (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "";
  const page = /^ *page +(\S+)/m.exec(command.output())?.[1] ?? null;
  return { api, page, command };
}

const title = async (url: string) => /<title>(.*?)<\/title>/.exec(await (await fetch(url)).text())?.[1];

test.each([1, 2])("with %i workers: the page has its own address, which also serves the API", async (workers) => {
  const { api, page } = await start("-client-port", "127.0.0.1:0", "-workers", String(workers));
  expect(await title(page ?? "")).toBe("syncv3");
  expect((await fetch(new URL("/_matrix/client/versions", page ?? ""))).status).toBe(200);
  expect((await fetch(`${api}/client/`)).status).toBe(404);
});

test("off: no page; public: on the address of the API", async () => {
  expect((await start("-client-port", "off")).page).toBeNull();
  const { api, page } = await start("-client-port", "public");
  expect(page).toBe(`${api}/client/`);
  expect(await title(page ?? "")).toBe("syncv3");
  const { headers } = await fetch(page ?? "");
  expect(headers.get("content-security-policy")).toContain("default-src 'none'");
});

/** Occupies a port on loopback, if it is free. */
async function hold(port: number): Promise<number> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.once("error", () => resolve()).listen(port, "127.0.0.1", resolve));
  onTestFinished(() => void holder.close());
  return (holder.address() as AddressInfo | null)?.port ?? port;
}

test("an address that is in use: the server does not start if it was given, and has no page if it is the default", async () => {
  await hold(8012);
  const { page, command } = await start();
  expect(page).toBeNull();
  await expect.poll(() => command.log()).toContain("The page /client/ is not served: its default address is in use");
  const taken = `127.0.0.1:${await hold(0)}`;
  const { code, stderr } = await runCommand([
    "-server",
    homeserver.url,
    "-db",
    database.dsn,
    "-secret",
    "x",
    "-port",
    "127.0.0.1:0",
    "-client-port",
    taken,
  ]).ended;
  expect([code, stderr]).toEqual([1, expect.stringContaining(`EADDRINUSE`)]);
});
