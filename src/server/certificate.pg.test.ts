/** `-tls-cert` and `-tls-key` (skipped where openssl is not installed). */

import { spawnSync } from "node:child_process";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase } from "../../test/support/database.ts";
import { startFakeHomeserver } from "../../test/support/fake-homeserver.ts";
import { silentLogger } from "../base/logger.ts";
import { BadCertificate, readCertificate, watchCertificate } from "./certificate.ts";

vi.setConfig({ testTimeout: 60_000 });

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

async function files() {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-tls-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const make = (name: string) => {
    const [cert, key] = [join(directory, `${name}.pem`), join(directory, `${name}.key`)];
    const args = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
    expect(spawnSync("openssl", [...args, "-keyout", key, "-out", cert]).status).toBe(0);
    return { cert, key };
  };
  return { directory, make };
}

describe.runIf(hasOpenssl)("TLS", () => {
  test.each(["1", "2"])("with %s workers: clients are served over TLS, and the homeserver learns that", async (workers) => {
    const { directory, make } = await files();
    const { cert, key } = make("first");
    const [homeserver, database] = [await startFakeHomeserver(), await freshDatabase()];
    const where = ["-server", homeserver.url, "-db", database.dsn, "-data", directory, "-port", "127.0.0.1:0", "-workers", workers];
    const command = runCommand([...where, "-tls-cert", cert, "-tls-key", key]);
    onTestFinished(async () => {
      command.signal("SIGTERM");
      expect((await command.ended).code).toBe(0);
      await homeserver.stop();
      await database.drop();
    });
    const url = new URL((await command.line(/listening/)).trim().split(/ +/)[1] ?? "");
    expect(url.protocol).toBe("https:");
    const { cert: ca } = await readCertificate({ cert, key });
    const status = await new Promise((resolve, reject) => {
      request(new URL("/_matrix/client/v3/login", url), { ca }, (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end();
    });
    expect(status).toBe(404);
    expect(homeserver.seen({ path: "/login" })[0]?.headers["x-forwarded-proto"]).toBe("https");
    const subject = await new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: Number(url.port), ca }, () => {
        resolve(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      }).on("error", reject);
    });
    expect(subject).toBe("first");
  });

  test("a renewed certificate is loaded, a broken one is not", async () => {
    const { make } = await files();
    const { cert, key } = make("old");
    const used: string[] = [];
    const stop = watchCertificate({ cert, key }, (one) => void used.push(one.cert.toString()), silentLogger(), 10);
    onTestFinished(stop);
    await writeFile(cert, "nonsense");
    const renewed = make("old");
    // A different time than before, whatever the resolution of the file system.
    await utimes(renewed.cert, new Date(1), new Date(1));
    await expect.poll(() => used.at(-1)).toContain("BEGIN CERTIFICATE");
    expect(used.every((text) => text.includes("BEGIN CERTIFICATE"))).toBe(true);
  });

  test("a file that is not a certificate, or not of that key, is refused with the reason", async () => {
    const { directory, make } = await files();
    const [one, other] = [make("one"), make("other")];
    await expect(readCertificate({ cert: one.cert, key: other.key })).rejects.toThrow(BadCertificate);
    await expect(readCertificate({ cert: join(directory, "none"), key: one.key })).rejects.toThrow("ENOENT");
    const homeserver = await startFakeHomeserver();
    onTestFinished(() => homeserver.stop());
    const wrong = await runCommand(["-server", homeserver.url, "-data", directory, "-tls-cert", one.cert, "-tls-key", other.key]).ended;
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/^syncv3: -tls-cert, -tls-key: .+/)]);
    const half = await runCommand(["-server", homeserver.url, "-tls-cert", one.cert]).ended;
    expect([half.code, half.stderr]).toEqual([2, "syncv3: -tls-cert and -tls-key must be given together\n"]);
  });
});
