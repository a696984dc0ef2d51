import { defineConfig } from "vite";

// The package for bundlers, npm/. LiveKit's client is a dependency of it, not a part.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: "npm/dist",
    copyPublicDir: false,
    minify: false,
    lib: { entry: { index: "src/index.ts" }, formats: ["es"] },
    rolldownOptions: {
      external: ["livekit-client"],
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" },
    },
  },
});
