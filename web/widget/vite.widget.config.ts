import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

import { compressedCopies } from "./vite.config.ts";

/** The languages besides English, each in a file of its own, of which a visitor loads one. */
const LANGUAGES = ["ar", "de", "es", "fr", "he", "it", "ja", "nl", "pl", "pt", "zh"];

/** The most (bytes, gzip) that a visitor's browser loads of the files whose name fits, and when. */
const BUDGETS: readonly (readonly [string, RegExp, number])[] = [
  ["at once", /^widget\.js$/, 3_000],
  ["with the button", /^widget\/(element|words-.*)\.js$/, 30_000],
  ["in a frame, besides", /^widget\/embed\.js$/, 1_000],
  ["with the first call", /^widget\/call-.*\.js$/, 155_000],
  ...LANGUAGES.map((tag) => [`in ${tag}`, new RegExp(`^widget/${tag}-.*\\.js$`), 4_000] as const),
];

/** Has our own functions called in place of those that an old library of the page may have replaced. */
const BUILTINS = resolve(import.meta.dirname, "src/builtins.ts");
const inject: Record<string, [string, string]> = { "Array.from": [BUILTINS, "from"], "JSON.stringify": [BUILTINS, "stringify"] };

/** Prints what is loaded when, and fails the build over a budget. */
function budgets(): Plugin {
  return {
    name: "budgets",
    apply: "build",
    writeBundle(options, bundle) {
      const names = Object.keys(bundle);
      const size = (name: string) => gzipSync(readFileSync(join(options.dir ?? "dist", name)), { level: 9 }).length;
      for (const [when, pattern, most] of BUDGETS) {
        const bytes = names.filter((name) => pattern.test(name)).reduce((sum, name) => sum + size(name), 0);
        console.info(`${when}: ${bytes} bytes of ${most}`);
        if (bytes > most) this.error(`a visitor loads ${bytes} bytes ${when}, more than the budget of ${most}`);
      }
      const others = names.filter((name) => !BUDGETS.some(([, pattern]) => pattern.test(name)));
      if (others.length > 0) this.error(`no budget in vite.widget.config.ts has ${others.join(", ")}`);
    },
  };
}

// The script that websites include, and the parts that it loads.
export default defineConfig({
  plugins: [compressedCopies(), budgets()],
  build: {
    target: "es2022",
    emptyOutDir: false,
    copyPublicDir: false,
    chunkSizeWarningLimit: 700,
    lib: { entry: { widget: "src/loader.ts", "widget/element": "src/element.ts", "widget/embed": "src/embed.ts" }, formats: ["es"] },
    rolldownOptions: {
      transform: { inject },
      output: { entryFileNames: "[name].js", chunkFileNames: "widget/[name]-[hash].js" },
    },
  },
});
