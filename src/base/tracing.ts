/** Traces, sent to an OpenTelemetry collector if one is configured (OTLP over HTTP). No span names a user, a device, a room or a token. */

import type { IncomingHttpHeaders } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type * as OpenTelemetry from "@opentelemetry/api";
import type { Attributes, Tracer } from "@opentelemetry/api";

/** How long the last spans may take to be sent, ms: a part of the 10 s that a stop may take. */
const LAST_SPANS_MS = 2000;

/** Null: tracing is off, and costs nothing. There is one per process. */
let tracing: { readonly api: typeof OpenTelemetry; readonly tracer: Tracer } | null = null;

export type TracingOptions = {
  /** The collector: `http://127.0.0.1:4318`, with user and password if it requires them; without a path, `/v1/traces` is used. */
  readonly url: string;
  readonly version: string;
};

/** Starts sending traces. The returned function sends the remaining spans and stops. The `OTEL_…` variables for sampling and limits apply. */
export async function startTracing({ url, version }: TracingOptions): Promise<() => Promise<void>> {
  const [api, sdk, { OTLPTraceExporter }, { AsyncLocalStorageContextManager }, { W3CTraceContextPropagator }, resources] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/context-async-hooks"),
    import("@opentelemetry/core"),
    import("@opentelemetry/resources"),
  ]);
  const { href, authorization } = addressOf(url);
  const exporter = new OTLPTraceExporter({ url: href, ...(authorization !== null && { headers: { authorization } }) });
  const resource = resources.resourceFromAttributes({ "service.name": "syncv3", "service.version": version });
  const provider = new sdk.TracerProvider({ resource, spanProcessors: [new sdk.BatchSpanProcessor({ exporter })] });
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  api.propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  tracing = { api, tracer: provider.getTracer("syncv3", version) };
  return async () => {
    tracing = null;
    // A collector that is away, or never answers, must not delay the server's stop.
    await Promise.race([provider.shutdown().catch(() => {}), delay(LAST_SPANS_MS, undefined, { ref: false })]);
  };
}

function addressOf(text: string): { readonly href: string; readonly authorization: string | null } {
  const url = new URL(text);
  const { username, password } = url;
  [url.username, url.password] = ["", ""];
  if (url.pathname === "/") url.pathname = "/v1/traces";
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  return { href: url.href, authorization: username === "" ? null : `Basic ${credentials}` };
}

/** Runs `work` as a span of the current trace. */
export function traced<T>(name: string, work: () => Promise<T>, attributes: Attributes = {}): Promise<T> {
  if (!tracing) return work();
  return tracing.tracer.startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await work();
    } catch (error) {
      // Its message may quote private data.
      span.setStatus({ code: ERROR }).setAttribute("error.type", error instanceof Error ? error.name : "unknown");
      throw error;
    } finally {
      span.end();
    }
  });
}

/** SpanStatusCode.ERROR and SpanKind.SERVER, without loading the package. */
const [ERROR, SERVER] = [2, 1];

export type TraceableRequest = { readonly method: string; readonly headers: IncomingHttpHeaders; readonly id: string };

export type TracedRequest = {
  /** Work that is started in `begin` belongs to the request's span. */
  within(begin: () => void): void;
  end(status: number): void;
};

/** A span for a client's request, in the trace that a proxy named (`traceparent`), if any. Null: tracing is off. */
export function traceRequest({ method, headers, id }: TraceableRequest, face: string): TracedRequest | null {
  if (!tracing) return null;
  const { api, tracer } = tracing;
  const parent = api.propagation.extract(api.context.active(), headers);
  const span = tracer.startSpan(`${method} ${face}`, { kind: SERVER, attributes: { "http.request.method": method, face, request: id } }, parent);
  return {
    within: (begin) => api.context.with(api.trace.setSpan(parent, span), begin),
    end(status) {
      span.setAttribute("http.response.status_code", status);
      if (status >= 500) span.setStatus({ code: ERROR });
      span.end();
    },
  };
}
