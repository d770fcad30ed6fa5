/** Describes a failure without its message, which may quote events. */

/** `code`: SQLSTATE, else the error's name. `at`: the statement without its values, else where in our code it was thrown. */
export type Failure = { readonly code: string; readonly at: string };

const LONGEST = 160;

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: "unknown", at: "something that is no error was thrown" };
  const { code, query } = error as { readonly code?: unknown; readonly query?: unknown };
  if (typeof code === "string" && typeof query === "string") return { code, at: query.replaceAll(/\s+/g, " ").trim().slice(0, LONGEST) };
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const frame = frames[0]?.trim().replace(/\(.*[/\\](?=[^/\\]+\))/, "(") ?? "";
  return { code: typeof code === "string" ? code : error.name, at: frame.slice(0, LONGEST) };
}

/** For the log and the operator: `23505 insert into timeline …`. */
export function describe({ code, at }: Failure): string {
  return `${code} ${at}`;
}
