/** Percentiles, and how they are told. */

/** The p-th percentile (0 to 100) of some figures by nearest rank; NaN of none. */
export function percentile(figures: readonly number[], p: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil((p / 100) * sorted.length) - 1))] ?? Number.NaN;
}

/** One line of the result: figures of ours beside a peer's of the same run. */
export type Row = {
  readonly work: string;
  readonly unit: "ms" | "MB" | "/s";
  readonly ours: readonly number[];
  /** Named where there is one. */
  readonly peer?: { readonly name: string; readonly figures: readonly number[] };
  readonly note?: string;
};

export type Summary = {
  readonly work: string;
  readonly unit: string;
  readonly ours: Percentiles;
  readonly peer?: Percentiles & { readonly name: string };
  readonly ratio?: number;
  readonly note?: string;
};
type Percentiles = { readonly n: number; readonly p50: number; readonly p99: number };

const rounded = (figure: number) => Number(figure.toFixed(2));
const of = (figures: readonly number[]): Percentiles => ({
  n: figures.length,
  p50: rounded(percentile(figures, 50)),
  p99: rounded(percentile(figures, 99)),
});

/** `ratio`: more than 1 is better than the peer: of times the peer's p50 over ours, of rates ours over the peer's. */
export function summarize(row: Row): Summary {
  const ours = of(row.ours);
  const note = row.note === undefined ? {} : { note: row.note };
  if (!row.peer) return { work: row.work, unit: row.unit, ours, ...note };
  const peer = { name: row.peer.name, ...of(row.peer.figures) };
  const ratio = row.unit === "/s" ? ours.p50 / peer.p50 : peer.p50 / ours.p50;
  return { work: row.work, unit: row.unit, ours, peer, ratio: rounded(ratio), ...note };
}

/** A markdown table. `name`: whose figures `ours` are. */
export function table(summaries: readonly Summary[], name: string): string {
  const cell = (p: Percentiles | undefined, unit: string) => (p ? `${p.p50} / ${p.p99} ${unit} (${p.n})` : "–");
  const lines = summaries.map(
    (s) =>
      `| ${s.work}${s.note === undefined ? "" : ` (${s.note})`} | ${cell(s.ours, s.unit)} | ${s.peer ? `${s.peer.name}: ${cell(s.peer, s.unit)}` : "–"} | ${s.ratio ?? "–"} |`,
  );
  return [`| work | ${name} p50 / p99 (n) | peer p50 / p99 (n) | times better, p50 |`, "|---|---|---|---|", ...lines].join("\n");
}

/** What became of rows of an earlier run: by how much ours is better than then, and, as the machine has moods, beside the peer. */
export function compared(before: readonly Summary[], now: readonly Summary[]): string {
  const lines = now.flatMap((row) => {
    const old = before.find((one) => one.work === row.work);
    if (!old) return [];
    const better = (a: number, b: number) => rounded(row.unit === "/s" ? b / a : a / b);
    const beside = row.ratio !== undefined && old.ratio !== undefined ? rounded(row.ratio / old.ratio) : "–";
    return [`| ${row.work} | ${old.ours.p50} ${row.unit} | ${row.ours.p50} ${row.unit} | ${better(old.ours.p50, row.ours.p50)} | ${beside} |`];
  });
  return ["| work | p50 then | p50 now | times better | beside the peer |", "|---|---|---|---|---|", ...lines].join("\n");
}
