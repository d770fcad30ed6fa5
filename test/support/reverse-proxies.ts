/** nginx and Caddy with the configurations of README.md, on ports of a test's own. */

import { spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./daemon.ts";

const ROOT = join(import.meta.dirname, "../..");
const START_MS = 60_000;

export type ProxyName = "nginx" | "caddy";

export type ReverseProxy = { readonly url: string; stop(): Promise<void> };

/** Whether it is installed here. */
export function hasProxy(name: ProxyName): boolean {
  return spawnSync(name, [name === "nginx" ? "-v" : "version"]).status === 0;
}

/** Starts one in front of the server at `port`, as README.md says but for the ports. */
export async function startProxy(name: ProxyName, port: number): Promise<ReverseProxy> {
  const cache = join(ROOT, ".cache");
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, `${name}-`));
  const own = await freePort();
  const snippet = (await readmeBlock(name)).replaceAll("127.0.0.1:8009", `127.0.0.1:${port}`).replace(/127\.0\.0\.1:80(10|11)/, `127.0.0.1:${own}`);
  const file = join(directory, name === "nginx" ? "nginx.conf" : "Caddyfile");
  await writeFile(file, name === "nginx" ? nginxFile(snippet) : `{\n  admin off\n  auto_https off\n}\n${snippet}`);
  const args = name === "nginx" ? ["-p", directory, "-c", file, "-g", "daemon off;"] : ["run", "--config", file, "--adapter", "caddyfile"];
  const child = spawn(name, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: directory, XDG_DATA_HOME: directory } });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => void (errors += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // It must not outlive a test run that ends without stopping it.
  const end = (): boolean => child.kill("SIGKILL");
  process.once("exit", end);
  const url = `http://127.0.0.1:${own}`;
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    process.off("exit", end);
    await rm(directory, { recursive: true, force: true });
  };
  for (const deadline = Date.now() + START_MS; ;) {
    if (
      await fetch(`${url}/_matrix/client/versions`)
        .then((answer) => answer.ok)
        .catch(() => false)
    )
      return { url, stop };
    if (child.exitCode === null && Date.now() < deadline) await delay(50);
    else {
      await stop();
      throw new Error(`${name} did not start:\n${errors}`);
    }
  }
}

/** A whole configuration around a server block; as root the workers stay root, so that they may write in the directory. */
function nginxFile(snippet: string): string {
  const paths = ["client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path", "scgi_temp_path"];
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  return `${user}pid nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${paths.map((path) => `${path} ${path};`).join("\n")}\n${snippet}\n}\n`;
}

/** The code block of README.md in that language. */
async function readmeBlock(language: string): Promise<string> {
  const text = await readFile(join(ROOT, "README.md"), "utf8");
  const block = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "ms").exec(text)?.[1];
  if (block === undefined) throw new Error(`README.md has no ${language} block`);
  return block;
}
