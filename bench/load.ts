/** Runs the load generator as a process of its own. */

import { fork } from "node:child_process";
import { join } from "node:path";
import type { LoadOrder, LoadReport } from "./load-generator.ts";

export function load(order: LoadOrder): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "load-generator.ts"));
    child.once("message", (answer: LoadReport | { readonly error: string }) =>
      "error" in answer ? reject(new Error(answer.error)) : resolve(answer),
    );
    child.once("error", reject);
    child.send(order);
  });
}
