/** package.json says one thing in several places: entry points, their types for older resolutions, and files by host. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readJson, repository } from "./installed.js";

const manifest = readJson(join(repository, "package.json")) as {
  exports: Record<string, string | { types: string; default: string }>;
  typesVersions: Record<string, Record<string, string[]>>;
  imports: Record<string, { node: string; default: string }>;
};
const source = (built: string): string => built.replace("./dist/", "src/").replace(/(\.d\.ts|\.js)$/, ".ts");

it("every entry point has its types under typesVersions, and is built from a source", () => {
  const entries = Object.entries(manifest.exports).filter(([, target]) => typeof target !== "string");
  const expected = entries.flatMap(([name, target]) =>
    name === "." || typeof target === "string" ? [] : [[name.slice(2), [target.types]]],
  );
  expect(Object.keys(manifest.typesVersions)).toEqual(["*"]);
  expect(manifest.typesVersions["*"]).toEqual(Object.fromEntries(expected));
  for (const [name, target] of entries) {
    const { types, default: script } = target as { types: string; default: string };
    expect(source(types), name).toBe(source(script));
    expect(existsSync(join(repository, source(script))), script).toBe(true);
  }
});

it("every file that hosts do differently is there for both", () => {
  for (const [name, files] of Object.entries(manifest.imports)) {
    expect(Object.keys(files), name).toEqual(["node", "default"]);
    for (const file of Object.values(files)) expect(existsSync(join(repository, source(file))), file).toBe(true);
  }
});
