/** JSON objects built from JSON texts, so that what the homeserver sent is never parsed and serialized again. */

/** A key, and a value that is already JSON text. */
export type Member = readonly [key: string, text: string];

/** An object of those members that are present. */
export function object(members: Iterable<Member | false | null | undefined>): string {
  let text = "{";
  for (const member of members) if (member) text += `${text.length > 1 ? "," : ""}${JSON.stringify(member[0])}:${member[1]}`;
  return `${text}}`;
}

export function record<Value>(map: ReadonlyMap<string, Value>, text: (value: Value) => string): string {
  let all = "{";
  for (const [key, value] of map) all += `${all.length > 1 ? "," : ""}${JSON.stringify(key)}:${text(value)}`;
  return `${all}}`;
}
