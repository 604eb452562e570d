/** The documents: their links lead somewhere, and the two READMEs show one program, which runs. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { transformWithOxc } from "vite";
import { expect, it } from "vitest";
import { filesIn, repository, run } from "./installed.js";

const readmes = ["README.md", "README.ko.md"];
const documents = [...readmes, "CHANGELOG.md", ...filesIn(join(repository, "docs")).map((file) => `docs/${file}`)];
const textOf = (file: string): string => readFileSync(join(repository, file), "utf8");

/** The fenced blocks in a language. */
function blocksOf(file: string, language: string): string[] {
  const blocks = textOf(file).matchAll(/^```(\w*)\n(.*?)^```$/gms);
  return [...blocks].flatMap(([, name, code]) => (name === language ? [code!] : []));
}

it.each(documents)("%s links to what is there", (file) => {
  const targets = [...textOf(file).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target]) => target!);
  expect(targets.filter((target) => !existsSync(join(repository, dirname(file), target)))).toEqual([]);
});

it.each(readmes)("the programs of %s run", async (file) => {
  const programs = blocksOf(file, "ts");
  expect(programs.length).toBeGreaterThan(0);
  const outputs: string[] = [];
  for (const program of programs) {
    const { code: script } = await transformWithOxc(program, "program.ts");
    const { code, out, err } = run(process.execPath, ["--input-type=module", "-e", script], repository);
    expect(code, err.slice(-500)).toBe(0);
    outputs.push(out);
  }
  expect(outputs[0]).toMatch(/tensor\(/);
});

it("both READMEs show the same program, commands and variables", () => {
  const shown = (file: string) => ({
    programs: blocksOf(file, "ts").map((code) => code.replaceAll(/,(?=\s*\])|\s/g, "")),
    commands: blocksOf(file, "sh").map((code) => code.replaceAll(/ +#.*$/gm, "")),
    variables: [...new Set(textOf(file).match(/CRESSET_\w+/g))].sort(),
  });
  expect(shown("README.ko.md")).toEqual(shown("README.md"));
});
