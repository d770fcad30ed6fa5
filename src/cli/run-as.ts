/** Chooses the user that PostgreSQL runs as if we are root (in containers), because PostgreSQL refuses to run as root. */

import { chown, stat } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";

/** A user to run a child process as. */
export type RunAs = { readonly uid: number; readonly gid: number };

/** A program with its arguments and further options for `spawn`. */
export type Invocation = { readonly file: string; readonly args: readonly string[]; readonly options: Partial<RunAs> };

/**
 * Undefined unless we are root. As root: the owner of `existing`, so that PostgreSQL can use its files from an earlier start; otherwise the
 * system's `postgres`, otherwise `nobody`. initdb requires a user that is in /etc/passwd.
 */
export async function chooseRunAs(existing: string): Promise<RunAs | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(existing).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return passwdEntry("postgres") ?? passwdEntry("nobody") ?? { uid: 65534, gid: 65534 };
}

/** Makes the user, if there is one, the owner of `path`. */
export async function give(path: string, user: RunAs | undefined): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/**
 * How to run `file` as `user`, who needs access to `paths`. The home of root (mode 0700) is closed to other users, and with it any program or
 * data below it. In that case `setpriv` of util-linux leaves the process one capability: to pass through closed directories.
 */
export function asUser(user: RunAs | undefined, file: string, args: readonly string[], paths: readonly string[]): Invocation {
  if (user === undefined) return { file, args, options: {} };
  const reaches = spawnSync("/bin/sh", ["-c", 'for p do test -x "$p" || exit 1; done', "sh", file, ...paths], { ...user, cwd: "/" }).status === 0;
  if (reaches) return { file, args, options: user };
  const keep = ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"];
  // Without this, access(2), which PostgreSQL calls before it runs a program, ignores the capability.
  const heed = "--securebits=+no_setuid_fixup";
  return {
    file: "setpriv",
    args: [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups", heed, ...keep, "--", file, ...args],
    options: {},
  };
}

function passwdEntry(name: string): RunAs | undefined {
  let passwd: string;
  try {
    passwd = readFileSync("/etc/passwd", "utf8");
  } catch {
    return undefined;
  }
  const fields = passwd
    .split("\n")
    .map((line) => line.split(":"))
    .find((line) => line[0] === name);
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])];
  return Number.isSafeInteger(uid) && Number.isSafeInteger(gid) && uid !== 0 ? { uid, gid } : undefined;
}
