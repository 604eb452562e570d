/** The notebook is its program: made of it, cell by cell. `.ci/run` runs both. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const repository = fileURLToPath(new URL("../", import.meta.url));

it("examples/notebook/05-notebook.ipynb is what examples/05-notebook.ts makes", () => {
  expect(() =>
    execFileSync(process.execPath, ["scripts/notebook.mjs", "--check"], { cwd: repository, stdio: "pipe" }),
  ).not.toThrow();
  const { cells, nbformat } = JSON.parse(readFileSync(`${repository}examples/notebook/05-notebook.ipynb`, "utf8")) as {
    cells: { cell_type: string; source: string[]; outputs?: unknown[] }[];
    nbformat: number;
  };
  expect(nbformat).toBe(4);
  expect(cells.filter(({ cell_type }) => cell_type === "code").length).toBeGreaterThan(15);
  const code = cells.flatMap(({ cell_type, source }) => (cell_type === "code" ? source.join("") : [])).join("\n");
  const program = readFileSync(`${repository}examples/05-notebook.ts`, "utf8");
  for (const line of program.split("\n")) if (!line.startsWith("//")) expect(code).toContain(line.trimEnd());
});
