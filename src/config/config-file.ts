/** Reads `syncv3.yaml`: one option per line, named as its flag is. */

import { readFileSync } from "node:fs";
import { parse } from "yaml";

/** The file cannot be used. The message names the file. */
export class BadConfigFile extends Error {
  override readonly name = "BadConfigFile";
}

/** Returns each value by flag, written as on the command line: a list becomes text with commas. `known`: all flags. @throws BadConfigFile */
export function readConfigFile(path: string, known: readonly string[]): Readonly<Record<string, string>> {
  const options = parsed(path);
  if (options === null || options === undefined) return {};
  if (typeof options !== "object" || Array.isArray(options))
    throw new BadConfigFile(`${path}: the file must contain options, one per line, e.g. "server: https://matrix.example.org"`);
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => {
      if (!known.includes(name)) throw new BadConfigFile(`${path}: unknown option "${name}". The options are: ${known.join(", ")}`);
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
    // The parser's message is left out because it quotes the file, which may hold the secret.
    const { linePos, code = "" } = error as { linePos?: readonly { readonly line: number }[]; code?: string };
    const place = linePos?.[0] ? `, line ${linePos[0].line}` : "";
    throw new BadConfigFile(`${path}${place} is not valid YAML: ${code}`, { cause: error });
  }
}

function textOf(path: string, name: string, value: unknown): string {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null) return "";
  if (Array.isArray(value)) return value.map((one) => textOf(path, name, one)).join(",");
  throw new BadConfigFile(`${path}: "${name}" must be text, a number, true, false, or a list of these`);
}
