/** Parses sizes with a unit. */

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** Bytes of `300000000`, `512K`, `256M`, `1G` (units of 1024); undefined for anything else and for sizes outside `least` to `most`. */
export function parseSize(text: string, least: number, most: number): number | undefined {
  const match = /^(\d{1,15})([KMG]?)(?:i?B)?$/i.exec(text.trim());
  const bytes = match ? Number(match[1]) * (UNITS[match[2]?.toUpperCase() ?? ""] ?? Number.NaN) : Number.NaN;
  return bytes >= least && bytes <= most ? bytes : undefined;
}
