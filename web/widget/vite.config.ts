import { defineConfig } from "vite";

// `npm run dev` serves the page with hot reload and passes the two HTTP routes on to a running agent server.
const server = process.env.PATCHBAY_URL ?? "http://127.0.0.1:8787";

export default defineConfig({
  // Relative, so that the page also works below a path of another site.
  base: "./",
  build: {
    target: "es2022",
    // livekit-client alone is about 500 kB; the page is of no use without it, so there is nothing to split off.
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/token": server, "/api": server } },
});
