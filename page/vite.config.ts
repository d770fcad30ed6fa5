import { defineConfig } from "vite";

/** The page: files with hashes in their names below /client/assets/, and index.html, which names them. */
export default defineConfig({
  root: import.meta.dirname,
  base: "/client/",
  build: { outDir: "../dist/page", emptyOutDir: true, modulePreload: false, assetsInlineLimit: 0, reportCompressedSize: false },
});
