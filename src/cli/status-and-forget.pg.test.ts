/** The commands `syncv3 status` and `syncv3 forget`, with and without a running server. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase } from "../../test/support/database.ts";
import { newRoom, startFakeHomeserver, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { V3Client } from "../../test/support/v3.ts";

vi.setConfig({ testTimeout: 240_000 });

test.each(["embedded", "named"])("with an %s database, while the server runs and after it has stopped", async (kind) => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-status-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const homeserver = await startFakeHomeserver();
  onTestFinished(() => homeserver.stop());
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const where = ["-data", join(directory, "data"), ...(kind === "named" ? ["-db", database.dsn] : [])];
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCommand([...args, ...where]).ended;
    return { code, text: stdout + stderr };
  };
  const server = runCommand(["-server", homeserver.url, "-port", "127.0.0.1:0", ...where]);
  onTestFinished(() => server.signal("SIGKILL"));
  const url = (await server.line(/listening/)).trim().split(/ +/)[1] ?? "";
  const clients = ["PHONE", "TABLET"].map((device) => new V3Client(() => url, "@alice:test", device, homeserver.login("@alice:test", device)));
  for (const client of clients) {
    homeserver.queueSync(client.token, v2({ join: { "!a:test": { state: newRoom("@alice:test") } }, to_device: [toDevice("@bob:test", { n: 1 })] }));
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await client.sync({ to_device: {} });
    // oxlint-disable-next-line no-await-in-loop -- as above
    await homeserver.waitForPoll(client.token);
  }
  const seen = await run("status");
  expect(seen.code, seen.text).toBe(0);
  expect(seen.text).toMatch(/^accounts +1$/m);
  expect(seen.text).toMatch(/^devices +2$/m);
  expect(seen.text).toMatch(/^polled +1 account by 1 process$/m);
  expect(seen.text).toMatch(/^to-device +2 messages waiting for 2 devices, the oldest for \d+ s$/m);
  expect(seen.text).toMatch(/^database +\d+ MB$/m);

  expect(await run("forget", "@bob:test")).toMatchObject({ code: 1, text: expect.stringContaining("@bob:test has no account in this database") });
  expect(await run("forget", "@alice:test", "-device", "NONE")).toMatchObject({ code: 1, text: expect.stringContaining("no device NONE") });
  expect(await run("forget", "bob")).toMatchObject({ code: 2, text: expect.stringContaining("is not a user ID") });
  expect(await run("forget", "@alice:test", "-device", "TABLET")).toMatchObject({
    code: 0,
    text: expect.stringContaining("Deleted the device TABLET"),
  });
  expect((await run("status")).text).toMatch(/^devices +1$/m);
  // A forgotten device starts from scratch with a valid token. Until then it is not polled.
  expect(await clients[1]?.request({})).toMatchObject({ status: 200 });
  expect((await run("status")).text).toMatch(/^devices +2$/m);

  server.signal("SIGTERM");
  expect((await server.ended).code).toBe(0);
  expect((await run("status")).text).toMatch(/^polled +none/m);
  expect(await run("forget", "@alice:test")).toMatchObject({ code: 0, text: expect.stringContaining("Deleted the account @alice:test") });
  expect((await run("status")).text).toMatch(/^accounts +0$/m);
});
