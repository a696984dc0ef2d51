import { defineConfig } from "vite";

// The widget in each of its states, for pictures and tests: `npm run gallery` shows them.
export default defineConfig({ root: "gallery", base: "./", build: { outDir: "../dist-gallery", emptyOutDir: true, target: "es2022" } });
