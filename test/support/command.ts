/** The command as people run it: a process of its own. */

import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

export type RunningCommand = {
  readonly pid: number;
  /** Standard output so far. */
  output(): string;
  /** Standard error so far: the log. */
  log(): string;
  /** Fulfilled with the first output line that matches; rejected with everything it wrote if it ends before. */
  line(pattern: RegExp): Promise<string>;
  signal(name: NodeJS.Signals): void;
  /** The exit code (null: ended by a signal) and all output. */
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
};

/** Runs `bin/syncv3` (or another script) with a clean environment, without the page. */
export function runCommand(args: readonly string[], env: Readonly<Record<string, string>> = {}, script = "bin/syncv3"): RunningCommand {
  const child = spawn(process.execPath, [join(ROOT, script), ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", SYNCV3_CLIENT_PORT: "off", ...env },
    // Its channel tells the server when we are gone, however that came.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let [stdout, stderr] = ["", ""];
  child.stderr?.on("data", (chunk: Buffer) => void (stderr += chunk.toString()));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  child.stdout?.on("data", (chunk: Buffer) => void (stdout += chunk.toString()));
  return {
    pid: child.pid ?? 0,
    output: () => stdout,
    log: () => stderr,
    line: (pattern) => lineOf(child, () => stdout, ended, pattern),
    signal: (name) => void child.kill(name),
    ended,
  };
}

function lineOf(child: ChildProcess, output: () => string, ended: RunningCommand["ended"], pattern: RegExp): Promise<string> {
  const find = (): string | undefined =>
    output()
      .split("\n")
      .find((line) => pattern.test(line));
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const line = find();
      if (line !== undefined) resolve(line);
    };
    child.stdout?.on("data", look);
    look();
    ended.then(({ stdout, stderr }) => reject(new Error(`It ended without a line like ${String(pattern)}:\n${stdout}${stderr}`)), reject);
  });
}
