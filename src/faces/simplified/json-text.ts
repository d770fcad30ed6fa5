/** JSON objects joined from texts: what is in them is never parsed and printed again. */

/** A key and a value that is JSON text already. */
export type Member = readonly [key: string, text: string];

/** An object of the members that are there. */
export function object(members: readonly (Member | false | null | undefined)[]): string {
  return `{${members.flatMap((member) => (member ? [`${JSON.stringify(member[0])}:${member[1]}`] : [])).join(",")}}`;
}

export function record<Value>(map: ReadonlyMap<string, Value>, text: (value: Value) => string): string {
  return object([...map].map(([key, value]) => [key, text(value)]));
}
