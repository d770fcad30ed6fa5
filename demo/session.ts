/** `curl` calls that are really made, printed as one would type them, each with its answer. */

import { spawn } from "node:child_process";
import { prettyJson } from "./json.ts";

export type Call = { readonly method?: "GET" | "POST"; readonly path: string; readonly body?: Record<string, unknown> };

export class CurlSession {
  readonly #url: string;
  readonly #token: string;
  readonly #print: (text: string) => void;

  constructor(url: string, token: string, print: (text: string) => void) {
    this.#url = url;
    this.#token = token;
    this.#print = print;
  }

  say(text: string): void {
    this.#print(`\n# ${text}\n`);
  }

  /** Makes the call and prints it with its answer; the answer. `meanwhile` runs once curl is under way. */
  // oxlint-disable-next-line typescript/no-explicit-any -- whoever called knows what was asked for
  async call({ method = "POST", path, body }: Call, meanwhile?: () => Promise<void>): Promise<any> {
    const data = body === undefined ? [] : ["-d", JSON.stringify(body)];
    const shown = [method === "POST" ? "-X POST" : "", '-H "Authorization: Bearer $TOKEN"', body === undefined ? "" : `-d '${JSON.stringify(body)}'`];
    this.#print(`$ curl -s ${shown.filter((part) => part !== "").join(" ")} "$URL${path}"\n`);
    const running = curl(["-s", "-X", method, "-H", `Authorization: Bearer ${this.#token}`, ...data, this.#url + path]);
    await meanwhile?.();
    const answer: unknown = JSON.parse(await running);
    this.#print(`${prettyJson(answer)}\n\n`);
    return answer;
  }
}

function curl(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("curl", args, { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    child.once("error", () => reject(new Error("curl is needed for the demo: install it (on Debian: apt-get install curl)")));
    child.once("close", (code) => (code === 0 ? resolve(text) : reject(new Error(`curl ended with ${code}`))));
  });
}
