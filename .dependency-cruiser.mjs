/** Imports go one way: cli → server → api → {v3, sliding} → {sync, http} → feed → store → wire → base, and server → upstream → store. */

const ROOMS = {
  base: [],
  wire: ["base"],
  store: ["wire", "base"],
  // The kinds of wake-ups are feed's.
  feed: ["store", "wire", "base"],
  http: ["store", "wire", "base"],
  sync: ["feed", "store", "wire", "base"],
  upstream: ["feed", "store", "wire", "base"],
  // The two APIs: neither imports the other.
  v3: ["sync", "http", "feed", "store", "wire", "base"],
  sliding: ["sync", "http", "feed", "store", "wire", "base"],
  api: ["v3", "sliding", "sync", "http", "feed", "wire", "base"],
  config: ["store", "wire", "base"],
  // Puts all parts together.
  server: ["api", "v3", "sliding", "sync", "http", "upstream", "feed", "store", "wire", "base", "config"],
};

const oneWay = Object.entries(ROOMS).map(([room, below]) => ({
  name: `${room}-imports-below`,
  comment: `src/${room} may import ${below.length > 0 ? below.join(", ") : "nothing else of src"}`,
  severity: "error",
  from: { path: `^src/${room}/`, pathNot: "\\.test\\.ts$" },
  to: { path: "^(src|test)/", pathNot: `^src/(${[room, ...below].join("|")})/` },
}));

export default {
  forbidden: [
    ...oneWay,
    {
      name: "engines-know-no-http",
      comment: "an API's face calls its engine, never the other way",
      severity: "error",
      from: { path: "^src/(v3|sliding)/", pathNot: "/face/|\\.test\\.ts$" },
      to: { path: "^src/(http/|(v3|sliding)/face/)" },
    },
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
    { name: "found", severity: "error", from: {}, to: { couldNotResolve: true } },
    { name: "sources-import-no-tests", severity: "error", from: { path: "^src/", pathNot: "\\.test\\.ts$" }, to: { path: "^test/|\\.test\\.ts$" } },
    {
      name: "declared",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^packages/[^/]+/dist/" },
    // Its other parser is the TypeScript compiler before version 7.
    parser: "swc",
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
