/** JSON objects joined from texts: what is in them is never parsed and printed again. */

/** A key and a value that is JSON text already. */
export type Member = readonly [key: string, text: string];

/** An object of the members that are there. */
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
