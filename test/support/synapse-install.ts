/** Synapse from PyPI. */

import { installPackage } from "./python-package.ts";

const VERSION = "1.163.2";

/** The Python that has Synapse; see installPackage. */
export function installSynapse(say: (line: string) => void): Promise<string> {
  return installPackage("matrix-synapse", VERSION, say);
}
