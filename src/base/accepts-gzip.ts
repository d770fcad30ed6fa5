/** Whether a client takes gzip, by its Accept-Encoding. */
export function acceptsGzip(acceptEncoding: string | string[] | undefined): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test([acceptEncoding ?? []].flat().join(","));
}
