import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fieldsOf, operationOf, type Operation, readOperations, unknownFields } from "./operations.ts";

export type Draft = { readonly method: string; readonly path: string; readonly body: string };
const METHODS = ["POST", "GET", "PUT", "DELETE"];

/** A request by hand, with what the server's own description says of its body. */
export function RequestForm({ draft, send }: { readonly draft: Signal<Draft>; readonly send: (draft: Draft) => Promise<void> }) {
  const operations = useSignal<readonly Operation[]>([]);
  useEffect(() => void readOperations().then((read) => (operations.value = read)), []);
  const { method, path, body } = draft.value;
  const change = (changes: Partial<Draft>): void => {
    draft.value = { ...draft.value, ...changes };
  };
  const operation = operationOf(operations.value, method, path);
  return (
    <form
      class="by-hand"
      aria-label="Send your own request"
      onSubmit={(event) => {
        event.preventDefault();
        void send(draft.value);
      }}
    >
      <h3>Send your own request</h3>
      <div class="line">
        <select aria-label="Method" value={method} onChange={(event) => change({ method: event.currentTarget.value })}>
          {METHODS.map((one) => (
            <option>{one}</option>
          ))}
        </select>
        <input aria-label="Path" list="paths" value={path} onInput={(event) => change({ path: event.currentTarget.value })} />
        <datalist id="paths">
          {operations.value.map((one) => (
            <option value={one.path} />
          ))}
        </datalist>
        <button>Send</button>
      </div>
      {method !== "GET" && (
        <textarea aria-label="Body" rows={8} spellcheck={false} value={body} onInput={(event) => change({ body: event.currentTarget.value })} />
      )}
      {method !== "GET" && <p role="status">{problemOf(body, operation)}</p>}
      {operation && <Help operation={operation} />}
    </form>
  );
}

function problemOf(body: string, operation: Operation | undefined): string {
  try {
    const unknown = operation?.body ? unknownFields(operation.body, JSON.parse(body)) : [];
    return unknown.length > 0 ? `Unknown fields, which the server ignores: ${unknown.join(", ")}` : "";
  } catch (error) {
    return `Not valid JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function Help({ operation }: { readonly operation: Operation }) {
  return (
    <details>
      <summary>{operation.summary}</summary>
      <dl>
        {operation.query.map(({ name, schema }) => (
          <Field key={`?${name}`} name={`?${name}`} type={schema.type ?? ""} description={schema.description ?? ""} depth={0} />
        ))}
        {operation.body && fieldsOf(operation.body).map((field) => <Field key={field.path} {...field} />)}
      </dl>
    </details>
  );
}

function Field({
  name,
  type,
  description,
  depth,
}: {
  readonly name: string;
  readonly type: string;
  readonly description: string;
  readonly depth: number;
}) {
  return (
    <div style={{ paddingInlineStart: `${depth}em` }}>
      <dt>
        <code>{name}</code> <small>{type}</small>
      </dt>
      {description !== "" && <dd>{description}</dd>}
    </div>
  );
}
