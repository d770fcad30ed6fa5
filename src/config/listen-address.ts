/** Parses a listen address from `-port`. */

/** An address in the form that Node's `listen` accepts. */
export type ListenAddress = { readonly host?: string; readonly port: number } | { readonly path: string };

/** `:8008` and `8008` (every address), `127.0.0.1:8008`, `[::1]:8008`, `localhost:0` (any free port), or a Unix socket's path. Undefined: none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const value = text.trim();
  if (value.startsWith("unix:")) return value.length > 5 ? { path: value.slice(5) } : undefined;
  if (value.includes("/")) return { path: value };
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/.exec(value);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) return undefined;
  const host = match[1]?.replace(/^\[(.*)\]$/, "$1") ?? "";
  return host === "" ? { port } : { host, port };
}
