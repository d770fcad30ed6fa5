/** Finds the value of each option: from a flag, an environment variable or the file of `-config`. */

import { readConfigFile } from "./config-file.ts";
import { NEW_SECRET, OPTION_TABLE, type OptionFlag, type OptionRow } from "./option-table.ts";

/** An option's value cannot be used. The message is for the operator. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const ROWS: readonly OptionRow[] = [...OPTION_TABLE, NEW_SECRET];

/** The options that a file may contain. */
const FILE_FLAGS = OPTION_TABLE.map((row) => row.flag).filter((flag) => flag !== "config");

/** The name under which Commander returns a value. */
const camelCase = (flag: string) => flag.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** Looks a value up: flag first, then variable, file, default. */
export class Reader {
  readonly #values: Readonly<Record<string, string>>;
  readonly #file: Readonly<Record<string, string>>;
  readonly env: NodeJS.ProcessEnv;

  constructor(values: Readonly<Record<string, string>>, env: NodeJS.ProcessEnv) {
    this.#values = values;
    this.env = env;
    const path = values["config"] ?? env["SYNCV3_CONFIG"]?.trim() ?? "";
    this.#file = path === "" ? {} : readConfigFile(path, FILE_FLAGS);
  }

  /** `name`: the flag, variable or file entry that gave the value. `isDefault`: nothing gave it. */
  get(flag: OptionFlag): { readonly text: string; readonly name: string; readonly isDefault?: true } | undefined {
    const row = ROWS.find((each) => each.flag === flag);
    const given = this.#values[camelCase(flag)];
    if (given !== undefined) return { text: given, name: `-${flag}` };
    const variable = row === undefined ? undefined : this.env[row.variable]?.trim();
    if (row !== undefined && variable !== undefined && variable !== "") return { text: variable, name: row.variable };
    const written = this.#file[flag]?.trim() ?? "";
    if (written !== "") return { text: written, name: `${flag} in the file of -config` };
    return row?.fallback === undefined ? undefined : { text: row.fallback, name: `-${flag}`, isDefault: true };
  }

  /** @throws UsageError if `parse` returns undefined */
  read<T>(flag: OptionFlag, parse: (text: string) => T | undefined, expected: string): T {
    const { text, name } = this.get(flag) ?? { text: "", name: `-${flag}` };
    const value = parse(text);
    if (value === undefined) throw new UsageError(`${name}: "${text}" is not ${expected}`);
    return value;
  }

  readSwitch(flag: OptionFlag): boolean {
    return this.get(flag) !== undefined && this.read(flag, parseSwitch, "one of 1, true, 0, false");
  }

  readSecret(flag: "secret" | "new-secret"): string | undefined {
    const text = this.get(flag)?.text;
    if (text === "") throw new UsageError(`-${flag} must not be empty`);
    return text;
  }
}

function parseSwitch(text: string): boolean | undefined {
  const value = text.trim().toLowerCase();
  if (value === "1" || value === "true") return true;
  return value === "0" || value === "false" ? false : undefined;
}
