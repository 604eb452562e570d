/**
 * Tests import the library as a user does ("cresset", "cresset/data") and get its source, so that stack traces and
 * coverage point there. What was built and packed is the matter of test/package and test/cli, in processes of their own.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (file: string): string => fileURLToPath(new URL(`./src/${file}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^cresset$/, replacement: source("index.ts") },
      { find: /^cresset\/(data|io|plot|training|vision)$/, replacement: source("$1/index.ts") },
      { find: "#host", replacement: source("device/host-node.ts") },
      { find: "#files", replacement: source("io/files-node.ts") },
      { find: "#images", replacement: source("vision/image-codec-node.ts") },
      { find: "#workers", replacement: source("data/workers-node.ts") },
      { find: "#terminal", replacement: source("training/terminal-node.ts") },
      { find: "#tables", replacement: source("data/table/duckdb-node.ts") },
      { find: "#raster", replacement: source("plot/raster-node.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    // Engines keep their threads and memory for as long as a process lives, so each test file has a process of its own.
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
