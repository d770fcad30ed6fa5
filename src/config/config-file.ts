/** `syncv3.yaml`: options by the names of their flags, one a line. */

import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** The file cannot be used. The message names it. */
export class BadConfigFile extends Error {
  override readonly name = "BadConfigFile";
}

/** By flag what is said of it, as a flag would say it: a list with commas between. `known`: the flags. @throws BadConfigFile */
export function readConfigFile(path: string, known: readonly string[]): Readonly<Record<string, string>> {
  const options = parsed(path);
  if (options === null || options === undefined) return {};
  if (typeof options !== "object" || Array.isArray(options))
    throw new BadConfigFile(`${path}: options are to stand in it, e.g. "server: https://matrix.example.org"`);
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => {
      if (!known.includes(name)) throw new BadConfigFile(`${path}: there is no option "${name}". There are: ${known.join(", ")}`);
      return [name, textOf(path, name, value)];
    }),
  );
}

function parsed(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BadConfigFile(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    return parse(text);
  } catch (error) {
    // Not what it quotes: that may be the secret.
    const { linePos, code = "" } = error as { linePos?: readonly { readonly line: number }[]; code?: string };
    const place = linePos?.[0] ? `, line ${linePos[0].line}` : "";
    throw new BadConfigFile(`${path}${place} is not YAML: ${code}`, { cause: error });
  }
}

function textOf(path: string, name: string, value: unknown): string {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null) return "";
  if (Array.isArray(value)) return value.map((one) => textOf(path, name, one)).join(",");
  throw new BadConfigFile(`${path}: "${name}" is to be text, a number, true or false, or a list of these`);
}
