/** A process's metrics, for Prometheus. Names and meanings: docs/OPERATIONS.md. */

import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** Seconds: from an answer out of memory to what a large homeserver takes. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** A value that is measured when it is read. */
type Measurement = () => number | Promise<number>;

/** Created once per process. No metric names a user, a device or a room. */
export class Metrics {
  readonly #registry = new Registry();
  /** By `face` and `status`; long polls include their wait. */
  readonly #requests = this.#histogram(
    "http_request_duration_seconds",
    "Time from the arrival of a request to its answer; long polls include their wait",
    ["face", "status"],
  );
  readonly #inProgress = this.#gauge("http_requests_in_progress", "Requests that are not answered yet, including waiting long polls", ["face"]);
  readonly #refused = this.#counter("http_refused_total", "Requests refused because of a limit", ["status"]);
  readonly #upstream = this.#histogram("upstream_request_duration_seconds", "Time of requests to the homeserver; sync includes its wait", [
    "endpoint",
    "result",
  ]);
  readonly #batches = this.#histogram("ingest_batch_responses", "v2 responses stored in one transaction", [], [1, 2, 4, 8, 16, 32, 64]);
  readonly #commits = this.#histogram("ingest_transaction_seconds", "Time of transactions that store v2 responses, including the commit", []);
  readonly #lag = this.#histogram("ingest_lag_seconds", "Time from the arrival of a v2 response until it is stored", []);
  readonly #ingested = this.#counter("ingested_responses_total", "v2 responses by result", ["result"]);
  readonly #gaps = this.#counter(
    "ingested_gaps_total",
    "Times that the homeserver left out events of a room; they are fetched when a client asks for them",
    [],
  );
  readonly #wholeRooms = this.#counter("whole_rooms_total", "Full rooms that sliding sync sent, from memory or the database", ["from"]);
  readonly #deleted = this.#counter("retention_total", "What retention has deleted, raised or ended", ["what"]);

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** A request has arrived; call the returned function with the status of its answer. */
  request(face: string): (status: number) => void {
    this.#inProgress.inc({ face });
    const end = this.#requests.startTimer({ face });
    return (status) => {
      this.#inProgress.dec({ face });
      end({ status: String(status) });
      if (status === 429 || status === 413 || status === 408) this.#refused.inc({ status: String(status) });
    };
  }

  /** A request to the homeserver. `result`: ok, or the kind of failure. */
  upstream(endpoint: string, result: string, ms: number): void {
    this.#upstream.observe({ endpoint, result }, ms / 1000);
  }

  /** A transaction has stored that many responses. */
  committed(responses: number, ms: number): void {
    this.#batches.observe(responses);
    this.#commits.observe(ms / 1000);
  }

  /** A response was handled: stored, stale or set_aside (in part). `gaps`: rooms of which it left out events. */
  ingested(result: string, ms: number, gaps: number): void {
    this.#ingested.inc({ result });
    this.#lag.observe(ms / 1000);
    this.#gaps.inc(gaps);
  }

  /** Sliding sync has sent a full room. `isKept`: from memory. */
  wholeRoom(isKept: boolean): void {
    this.#wholeRooms.inc({ from: isKept ? "memory" : "database" });
  }

  retained(counts: Readonly<Record<string, number>>): void {
    for (const [what, count] of Object.entries(counts)) if (count > 0) this.#deleted.inc({ what }, count);
  }

  /** A value that is read at each scrape. With several processes: their sum, or the maximum where the value is common to all. */
  watch(name: string, help: string, reading: Measurement, of: "each" | "all" = "each"): void {
    const gauge: Gauge = new Gauge({
      name: `syncv3_${name}`,
      help,
      registers: [this.#registry],
      aggregator: of === "each" ? "sum" : "max",
      collect: async () => {
        // A metric that cannot be read now must not hide the others.
        const value = await Promise.resolve(reading()).catch(() => Number.NaN);
        gauge.set(value);
      },
    });
  }

  /** Numbers by one label that are read at each scrape and are the same in every process. */
  watchEach(name: string, help: string, label: string, reading: () => Promise<ReadonlyMap<string, number>>): void {
    const gauge: Gauge = new Gauge({
      name: `syncv3_${name}`,
      help,
      labelNames: [label],
      registers: [this.#registry],
      aggregator: "max",
      collect: async () => {
        const values = await reading().catch(() => null);
        gauge.reset();
        for (const [value, number] of values ?? []) gauge.set({ [label]: value }, number);
      },
    });
  }

  /** In the text format of Prometheus. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** In a worker: lets the first process collect these metrics. */
  share(): void {
    AggregatorRegistry.setRegistries([this.#registry]);
    // Creating it makes it listen for the first process's requests.
    void new AggregatorRegistry();
  }

  #histogram<Label extends string>(name: string, help: string, labelNames: Label[], buckets = SECONDS): Histogram<Label> {
    return new Histogram({ name: `syncv3_${name}`, help, labelNames, buckets, registers: [this.#registry] });
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `syncv3_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> {
    return new Gauge({ name: `syncv3_${name}`, help, labelNames, registers: [this.#registry] });
  }
}

/** The metrics of all workers together, in the first process. */
export class SharedMetrics {
  readonly #registry = new AggregatorRegistry();

  text(): Promise<string> {
    return this.#registry.clusterMetrics();
  }
}

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;
