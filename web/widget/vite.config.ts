import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

// `npm run dev` serves the page with hot reload and passes the two HTTP routes on to a running agent server.
const server = process.env.PATCHBAY_URL ?? "http://127.0.0.1:8787";

/** Writes compressed copies beside the built files, so that the agent's HTTP server need not compress. */
export function compressedCopies(): Plugin {
  return {
    name: "compressed-copies",
    apply: "build",
    writeBundle(options, bundle) {
      for (const name of Object.keys(bundle)) {
        const file = join(options.dir ?? "dist", name);
        const content = readFileSync(file);
        writeFileSync(`${file}.br`, brotliCompressSync(content));
        writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [compressedCopies()],
  // Relative, so that the page also works below a path of another site.
  base: "./",
  build: {
    target: "es2022",
    // livekit-client alone is about 500 kB; the page is of no use without it, so there is nothing to split off.
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/token": server, "/api": server } },
});
