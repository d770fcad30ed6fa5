/** What the server says of its own endpoints: /openapi.json. */

export type Schema = {
  readonly type?: string;
  readonly description?: string;
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
};
export type Operation = {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly query: readonly { readonly name: string; readonly schema: Schema }[];
  readonly body: Schema | undefined;
};
export type Field = { readonly path: string; readonly name: string; readonly type: string; readonly description: string; readonly depth: number };

type Told = {
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
};

export async function readOperations(): Promise<readonly Operation[]> {
  const { paths } = (await (await fetch("/openapi.json")).json()) as { readonly paths: Readonly<Record<string, Readonly<Record<string, Told>>>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary, parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      summary,
      query: parameters.filter((parameter) => parameter.in === "query"),
      body: requestBody?.content["application/json"]?.schema,
    })),
  );
}

/** What a path with a query is of. */
export function operationOf(operations: readonly Operation[], method: string, path: string): Operation | undefined {
  const plain = path.split("?", 1)[0];
  return operations.find((one) => one.method === method && one.path === plain);
}

/** Of a schema that may be null the other one. */
function shape(schema: Schema): Schema {
  const others = schema.anyOf?.filter((one) => one.type !== "null");
  return others?.length === 1 ? shape(others[0] as Schema) : schema;
}

function typeOf(schema: Schema): string {
  const { type, const: constant, anyOf, items, patternProperties } = shape(schema);
  if (constant !== undefined) return JSON.stringify(constant);
  if (anyOf) return anyOf.map(typeOf).join(" or ");
  if (type === "array") return `array of ${items ? typeOf(items) : "any type"}`;
  return patternProperties ? "object with any keys" : (type ?? "any type");
}

/** All that may be in it, members behind what holds them. */
export function fieldsOf(schema: Schema, depth = 0, path = ""): readonly Field[] {
  const { properties, patternProperties, items } = shape(schema);
  if (items) return fieldsOf(items, depth, path);
  if (patternProperties) return Object.values(patternProperties).flatMap((one) => fieldsOf(one, depth, path));
  return Object.entries(properties ?? {}).flatMap(([name, member]) => [
    { path: `${path}.${name}`, name, type: typeOf(member), description: member.description ?? "", depth },
    ...fieldsOf(member, depth + 1, `${path}.${name}`),
  ]);
}

/** Members of a body that the schema does not have. */
export function unknownFields(schema: Schema, value: unknown, path = ""): readonly string[] {
  const { properties, patternProperties, items } = shape(schema);
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return items ? value.flatMap((one) => unknownFields(items, one, path)) : [];
  return Object.entries(value).flatMap(([name, member]) => {
    const known = properties && Object.hasOwn(properties, name) ? properties[name] : Object.values(patternProperties ?? {})[0];
    if (known) return unknownFields(known, member, `${path}${name}.`);
    return properties ? [`${path}${name}`] : [];
  });
}
