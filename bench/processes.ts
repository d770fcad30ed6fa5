/** What a server's processes have used, as Linux tells it. */

import { readdir, readFile } from "node:fs/promises";

/** By part of the server: the ids of its processes. */
export type Processes = { readonly server: readonly number[]; readonly database: readonly number[] };

const TICKS_A_SECOND = 100;

type Status = { readonly pid: number; readonly parent: number; readonly name: string; readonly ticks: number };

/** The process and all that descend from it. */
export async function processTree(root: number): Promise<Processes> {
  const all = (await Promise.all((await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map((name) => statusOf(Number(name))))).flatMap(
    (status) => status ?? [],
  );
  const server: number[] = [];
  const database: number[] = [];
  const add = (pid: number, inDatabase: boolean): void => {
    (inDatabase ? database : server).push(pid);
    for (const child of all) if (child.parent === pid) add(child.pid, inDatabase || child.name === "postgres");
  };
  add(root, false);
  return { server, database };
}

/** Processor time that each part's processes have used since they began, ms. Those that have ended count no more. */
export async function cpuMs({ server, database }: Processes): Promise<{ readonly server: number; readonly database: number }> {
  const sum = async (pids: readonly number[]) => {
    const each = await Promise.all(pids.map(statusOf));
    return (each.reduce((total, status) => total + (status?.ticks ?? 0), 0) * 1000) / TICKS_A_SECOND;
  };
  return { server: await sum(server), database: await sum(database) };
}

async function statusOf(pid: number): Promise<Status | null> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null; // it has ended
  }
  const name = /\((.*)\)/s.exec(text)?.[1] ?? "";
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { pid, parent: Number(fields[1]), name, ticks: Number(fields[11]) + Number(fields[12]) };
}
