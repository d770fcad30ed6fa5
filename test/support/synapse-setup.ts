/** Once per test run: one Synapse that the end-to-end tests share. Those that restart it start their own. */

import type { TestProject } from "vitest/node";

import type { HomeserverAddress } from "./synapse-api.ts";
import { startSynapse } from "./synapse.ts";

declare module "vitest" {
  interface ProvidedContext {
    synapse: HomeserverAddress;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const synapse = await startSynapse({ say: (line) => process.stderr.write(`${line}\n`) });
  const { url, serverName, asToken } = synapse;
  project.provide("synapse", { url, serverName, asToken });
  return () => synapse.stop();
}
