/** `-bus`: what the command prints about NATS, and how it works while NATS is unavailable. Skipped if nats-server is not installed and cannot be. */

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { runCommand, type RunningCommand } from "../../test/support/command.ts";
import { isInstalled } from "../../test/support/daemon.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { type FakeHomeserver, startFakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { startNats, type TestNats } from "../../test/support/nats-server.ts";

vi.setConfig({ testTimeout: 60_000 });

const PASSWORD = "hunter2";

describe.runIf(isInstalled("nats-server"))("-bus (skipped where nats-server is not installed)", () => {
  let database: TestDatabase;
  let homeserver: FakeHomeserver;
  let directory = "";
  beforeEach(async () => {
    database = await freshDatabase();
    homeserver = await startFakeHomeserver();
    directory = await mkdtemp(join(tmpdir(), "syncv3-bus-"));
  });
  afterEach(async () => {
    await homeserver.stop();
    await database.drop();
    await rm(directory, { recursive: true, force: true });
  });

  function run(bus: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): RunningCommand {
    const common = ["-server", homeserver.url, "-db", database.dsn, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "trace"];
    const command = runCommand([...common, ...args], { SYNCV3_BUS: bus, ...env });
    onTestFinished(() => command.signal("SIGKILL"));
    return command;
  }

  async function nats(...args: string[]): Promise<TestNats> {
    const started = await startNats(args);
    onTestFinished(() => started.kill());
    return started;
  }

  const subjectOf = async (command: RunningCommand): Promise<string> => /subject (\S+)$/.exec(await command.line(/wake-ups/))?.[1] ?? "";

  test("NATS is not running: the message says what to do", async () => {
    const { code, stderr, stdout } = await run(`nats://syncv3:${PASSWORD}@127.0.0.1:1,127.0.0.1:2`).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/syncv3: -bus: cannot use NATS at 127\.0\.0\.1:1, 127\.0\.0\.1:2: .*refused\. It must be running/);
    expect(stderr + stdout).not.toContain(PASSWORD);
  });

  test("wrong credentials: the message has the reason of NATS and no credentials", async () => {
    const { port } = await nats("--user", "syncv3", "--pass", "another");
    const { code, stderr, stdout } = await run(`nats://syncv3:${PASSWORD}@127.0.0.1:${port}`).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/-bus: cannot use NATS at .*Authorization Violation/i);
    expect(stderr + stdout).not.toContain(PASSWORD);
  });

  test.each(["publish", "subscribe"])("a user without the right to %s: the message has the reason of NATS and the subject", async (what) => {
    const file = join(directory, "nats.conf");
    const permissions = `{ publish: ">", subscribe: ">", ${what}: { deny: "syncv3.*" } }`;
    await writeFile(file, `authorization { users: [{ user: syncv3, password: ${PASSWORD}, permissions: ${permissions} }] }\n`);
    const { port } = await nats("-c", file);
    const { code, stderr } = await run(`nats://syncv3:${PASSWORD}@127.0.0.1:${port}`).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/-bus: cannot use NATS at .*Permissions Violation.*allowed to publish and subscribe to syncv3\.[0-9a-f]{32}/i);
  });

  test("an invalid URL is refused", async () => {
    const { code, stderr } = await run(`redis://me:${PASSWORD}@127.0.0.1`).ended;
    expect(code).toBe(2);
    expect(stderr).toBe("syncv3: SYNCV3_BUS: this is not a URL of the form nats://USER:PASSWORD@HOST:4222, nats://TOKEN@HOST or tls://HOST\n");
  });

  test("the processes of a database use one subject, others use another; a token in the URL is not printed", async () => {
    const { port } = await nats("--auth", PASSWORD);
    const url = `nats://${PASSWORD}@127.0.0.1:${port}`;
    const [one, two, stranger] = [run(url), run(url), run(url, ["-secret", "another secret"])];
    const subject = await subjectOf(one);
    expect(await subjectOf(two)).toBe(subject);
    expect(await subjectOf(stranger)).not.toBe(subject);
    for (const command of [one, two, stranger]) {
      await command.line(/listening/);
      command.signal("SIGTERM");
      const { code, stderr, stdout } = await command.ended;
      expect(code).toBe(0);
      expect(stderr + stdout).not.toContain(PASSWORD);
    }
  });

  test("a worker that is replaced while NATS is unavailable serves, and reconnects once NATS is back", async () => {
    const server = await nats();
    const command = run(`nats://127.0.0.1:${server.port}`, ["-workers", "2"]);
    await command.line(/listening/);
    const count = (text: string) => command.output().concat(command.log()).split(text).length - 1;
    await server.kill();
    await vi.waitUntil(() => count("NATS is unavailable") === 2, { timeout: 20_000 });
    const children = (await readFile(`/proc/${command.pid}/task/${command.pid}/children`, "utf8")).trim().split(" ");
    process.kill(Number(children[0]), "SIGKILL");
    await vi.waitUntil(() => count("Server listening") === 3, { timeout: 20_000 });
    await server.start();
    await vi.waitUntil(() => count("NATS is back") === 2, { timeout: 20_000 });
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
  });

  test.runIf(isInstalled("openssl", "version"))("tls:// (skipped where openssl is not installed): only with a trusted certificate", async () => {
    const [key, certificate] = [join(directory, "key.pem"), join(directory, "cert.pem")];
    const request = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    expect(spawnSync("openssl", [...request, "-keyout", key, "-out", certificate]).status).toBe(0);
    const { port } = await nats("--tls", "--tlscert", certificate, "--tlskey", key);
    const strange = await run(`tls://localhost:${port}`).ended;
    expect(strange.code).toBe(1);
    expect(strange.stderr).toMatch(/-bus: cannot use NATS at .*certificate/);
    const command = run(`tls://localhost:${port}`, [], { NODE_EXTRA_CA_CERTS: certificate });
    await command.line(/listening/);
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
    const { port: plain } = await nats();
    expect((await run(`tls://127.0.0.1:${plain}`).ended).stderr).toMatch(/-bus: cannot use NATS at .*tls/i);
  });
});
