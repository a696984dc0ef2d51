import { gzipSync } from "node:zlib";

import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

import { compressedCopies } from "../widget/vite.config.ts";

// `npm run dev` serves the console with hot reload and passes the API on to a running HTTP process.
const server = process.env.PATCHBAY_URL ?? "http://127.0.0.1:8787";
/** Bytes, compressed, of all that a browser loads for the first page. */
const BUDGET = 200_000;

/** Fails the build when the first page has become larger than its budget. */
function firstPageBudget(): Plugin {
  return {
    name: "first-page-budget",
    apply: "build",
    generateBundle(_, bundle) {
      let size = 0;
      for (const part of Object.values(bundle)) {
        if (part.type === "chunk" && part.isDynamicEntry) continue;
        size += gzipSync(part.type === "chunk" ? part.code : part.source).length;
      }
      if (size > BUDGET) this.error(`the first page has ${size} bytes, compressed; at most ${BUDGET} are allowed`);
    },
  };
}

export default defineConfig({
  plugins: [firstPageBudget(), compressedCopies()],
  base: "/ai-compute/",
  build: {
    target: "es2022",
    rolldownOptions: {
      // "use client" in a package is a word to servers that draw pages; here is none.
      onLog: (level, log, handle) => (log.code === "MODULE_LEVEL_DIRECTIVE" ? undefined : handle(level, log)),
    },
  },
  server: { proxy: { "/api": server } },
  test: { environment: "happy-dom" },
});
