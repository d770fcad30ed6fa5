/** Which failures lie in a response's content, so that asking again would only bring them again. */

/** A bug of the planner, met by some content. */
class PlanFailed extends Error {
  override readonly name = "PlanFailed";
}

/** Runs a part of the planner; what it throws is taken for the content's fault. */
export function planning<T>(plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    throw new PlanFailed("planning failed", { cause: error });
  }
}

/** True for a planner's bug, and for what PostgreSQL refuses for its content: classes 22 (data) and 23 (integrity). */
export function isPoison(error: unknown): boolean {
  if (error instanceof PlanFailed) return true;
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^2[23][0-9A-Z]{3}$/.test(error.code);
}

/** Names an error for the operator without its text, which may quote events. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return "something that is no error was thrown";
  if (error instanceof PlanFailed) return describe(error.cause);
  const { code, table_name: table, constraint_name: constraint } = error as Partial<Record<"code" | "table_name" | "constraint_name", unknown>>;
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const place = frames[0]?.trim().replace(/\(.*[/\\](?=[^/\\]+\))/, "(") ?? "";
  return [error.name, code, table, constraint, place].filter((part) => typeof part === "string" && part !== "").join(" ");
}
