import { useSignal } from "@preact/signals";
import type { Account } from "./account.ts";
import { Comparison } from "./comparison.tsx";
import { type Exchange, exchanges, sendByHand } from "./exchanges.ts";
import { type Draft, RequestForm } from "./request-form.tsx";
import { sizeText, timeOf } from "./words.ts";

/** Characters of a body that are shown. */
const SHOWN = 100_000;

/** Every request and answer as it went, requests by hand, and the same screen through v2 beside it. */
export function Inspector({ account }: { readonly account: Account }) {
  const selected = useSignal<number | null>(null);
  const draft = useSignal<Draft>({ method: "POST", path: "/_matrix/client/v3/sync", body: '{\n  "room_list": {}\n}' });
  const all = exchanges.value;
  const shown = all.find(({ id }) => id === selected.value) ?? all.at(-1);
  const send = async ({ method, path, body }: Draft): Promise<void> => {
    const sent = await sendByHand(account.server.accessToken as string, method, path, method === "GET" ? undefined : body);
    selected.value = sent?.id ?? null;
  };
  return (
    <main class="inspector">
      <section class="exchanges" aria-label="Requests">
        <ol>
          {all.toReversed().map((exchange) => (
            <li key={exchange.id}>
              <button type="button" aria-pressed={exchange === shown} onClick={() => (selected.value = exchange.id)}>
                <span class={`status s${String(exchange.status)[0]}`}>{exchange.status}</span> {exchange.method} {shortPath(exchange.path)}
                <small>
                  {timeOf(exchange.at)} · {exchange.ms === null ? "…" : `${exchange.ms.toFixed(0)} ms`}
                  {exchange.bytes && ` · ${sizeText(exchange.bytes.plain)}`}
                </small>
              </button>
            </li>
          ))}
        </ol>
      </section>
      <div class="details">
        {shown && <Details exchange={shown} edit={() => (draft.value = { method: shown.method, path: shown.path, body: pretty(shown.request) })} />}
        <RequestForm draft={draft} send={send} />
        <Comparison account={account} />
      </div>
    </main>
  );
}

function Details({ exchange, edit }: { readonly exchange: Exchange; readonly edit: () => void }) {
  const copied = useSignal<string | null>(null);
  const copy = async (): Promise<void> => {
    const command = curlOf(exchange);
    try {
      await navigator.clipboard.writeText(command);
      copied.value = "Copied. Set $TOKEN to the access token before you run the command.";
    } catch {
      copied.value = command;
    }
  };
  const woken = newsOf(exchange.response);
  return (
    <article aria-label="Request and answer">
      <h2>
        {exchange.method} {shortPath(exchange.path)}
      </h2>
      <p>
        {exchange.status}
        {exchange.ms !== null && `, ${exchange.ms.toFixed(1)} ms`}
        {exchange.bytes &&
          `, ${sizeText(exchange.bytes.packed)}${exchange.bytes.packed === exchange.bytes.plain ? "" : ` (uncompressed ${sizeText(exchange.bytes.plain)})`}`}
        {woken.length > 0 && (
          <>
            {" "}
            · contains <b data-woken>{woken.join(", ")}</b>
          </>
        )}
      </p>
      <p>
        <button type="button" onClick={() => void copy()}>
          Copy as curl
        </button>{" "}
        <button type="button" onClick={edit}>
          Edit and send again
        </button>
      </p>
      {copied.value !== null && <pre role="status">{copied.value}</pre>}
      <h3>Request</h3>
      <pre data-request>{exchange.request === "" ? "no body" : pretty(exchange.request)}</pre>
      {exchange.sticky !== null && Object.values(exchange.sticky).some((value) => value !== undefined) && (
        <>
          <h3>Sticky parameters from earlier requests</h3>
          <pre data-sticky>{pretty(JSON.stringify(exchange.sticky))}</pre>
        </>
      )}
      <h3>Answer</h3>
      <pre data-answer>{pretty(exchange.response)}</pre>
    </article>
  );
}

/** What of an answer to a sync is news: streams, or parts of a connection's answer. */
function newsOf(response: string): string[] {
  const body = parsed(response);
  if (typeof body !== "object" || body === null) return [];
  if ("next" in body) return Object.keys(body).filter((key) => key !== "next" && key !== "initial_sync");
  if (!("pos" in body)) return [];
  const { rooms = {}, extensions = {} } = body as { rooms?: object; extensions?: Record<string, object> };
  const count = Object.keys(rooms).length;
  const told = Object.entries(extensions).flatMap(([name, part]) => (Object.values(part).some(isSomething) ? [name] : []));
  return [...(count > 0 ? [`${count} ${count === 1 ? "room" : "rooms"}`] : []), ...told];
}

function isSomething(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length > 0;
}

function curlOf({ method, path, request }: Exchange): string {
  const body = request === "" ? "" : ` -d '${request.replaceAll("'", "'\\''")}'`;
  return `curl -X ${method} -H "Authorization: Bearer $TOKEN"${body} '${location.origin}${path}'`;
}

function shortPath(path: string): string {
  return path.replace(/^\/_matrix\/client/, "").replace(/(since|pos)=([^&]{12})[^&]*/g, "$1=$2…");
}

function pretty(text: string): string {
  const body = parsed(text);
  const whole = body === undefined ? text : JSON.stringify(body, null, 2);
  return whole.length > SHOWN ? `${whole.slice(0, SHOWN)}\n… ${whole.length - SHOWN} more characters` : whole;
}

/** undefined: it is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
