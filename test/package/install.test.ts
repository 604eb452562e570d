/** The packed package in an empty project: what is in it, JavaScript, TypeScript, the command. */
import { copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { beside, filesIn, type Installed, install, readJson, remove, repository, run } from "./installed.js";

const seconds = 1000;
let project: Installed;
beforeAll(() => {
  project = install();
}, 150 * seconds);
afterAll(() => remove(project.folder));

const node = (file: string) => run(process.execPath, [file], project.folder, { CRESSET_QUIET: "1" });
const tsc = (...args: string[]) => {
  const compiler = join(repository, "node_modules/typescript/bin/tsc");
  return run(process.execPath, [compiler, ...args], project.folder);
};

describe("the packed package", () => {
  it("holds what was built, its documents and nothing else", () => {
    const files = filesIn(join(project.folder, "node_modules/cresset"));
    const unexpected = files.filter(
      (file) => !/^(dist\/.*\.(js|d\.ts)|docs\/.*\.md|(README(\.ko)?|CHANGELOG)\.md|LICENSE|package\.json)$/.test(file),
    );
    expect(unexpected).toEqual([]);
    for (const file of ["LICENSE", "README.md", "README.ko.md", "CHANGELOG.md"]) expect(files).toContain(file);
    expect(project.tarballBytes).toBeLessThan(700_000);
  });

  it("needs no install script, and npm has nothing to warn of", () => {
    const tree = readJson(join(project.folder, "node_modules/.package-lock.json")) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    const scripted = Object.keys(tree.packages).filter((name) => tree.packages[name]?.hasInstallScript);
    expect(scripted).toEqual([]);
    expect(project.said).not.toMatch(/install script|allow-scripts|approve|deprecated|EBADENGINE/i);
  });

  it("runs from JavaScript, whichever entry point comes first", () => {
    writeFileSync(
      join(project.folder, "first.js"),
      `import * as torch from "cresset";
       const x = torch.tensor(3.5, { requiresGrad: true });
       x.sub(1).mul(x.sub(2)).mul(x.sub(3)).backward();
       console.log(x.grad.item(), torch.ones([2, 3]));`,
    );
    const first = node("first.js");
    expect(first.err).toBe("");
    expect(first.out).toBe("5.75 tensor([[1., 1., 1.],\n        [1., 1., 1.]])\n");

    for (const entry of ["data", "vision", "io", "training", "plot"]) {
      writeFileSync(
        join(project.folder, "entry.js"),
        `import "cresset/${entry}"; import { ones } from "cresset"; console.log(ones([2]).sum().item());`,
      );
      expect(node("entry.js")).toEqual({ code: 0, out: "2\n", err: "" });
    }
  });

  it("names the package that ONNX needs where it is left out", () => {
    const program = `import { loadOnnx } from "cresset/io";
      await loadOnnx("x.onnx").catch((error) => console.log(error.message));`;
    writeFileSync(join(project.folder, "onnx.js"), program);
    expect(node("onnx.js").out).toMatch(/cannot open x\.onnx/);
    renameSync(join(project.folder, "node_modules/@bufbuild"), join(project.folder, "put-away"));
    expect(node("onnx.js").out).toBe(
      "loadOnnx needs a package that is not installed: npm install @bufbuild/protobuf\n",
    );
    renameSync(join(project.folder, "put-away"), join(project.folder, "node_modules/@bufbuild"));
  });

  it("names what to install where an optional library is wanted and absent", () => {
    writeFileSync(
      join(project.folder, "optional.js"),
      `import { readCsv } from "cresset/data"; import * as plot from "cresset/plot"; import { zeros } from "cresset";
       import { writeFileSync } from "node:fs";
       writeFileSync("table.csv", "a\\n1\\n");
       const said = async (work) => console.log(await work().catch((error) => error.name + ": " + error.message));
       await said(() => readCsv("table.csv"));
       await said(() => plot.line([1, 2]).svg());
       await said(() => plot.imshow(zeros([2, 2]), { cmap: "gray" }).svg());
       await said(() => plot.graph(zeros([1])).svg());`,
    );
    const { out, err } = node("optional.js");
    expect(err).toBe("");
    expect(out.trim().split("\n")).toEqual([
      "DataError: tables in files are read by DuckDB, which is not installed: npm install @duckdb/node-api",
      "DataError: charts are drawn by Vega: not installed; npm install vega vega-lite",
      "DataError: images: not installed; npm install fast-png",
      "DataError: graphs are drawn by Graphviz: not installed; npm install @viz-js/viz",
    ]);
  });

  it("refuses what it does not export", () => {
    writeFileSync(join(project.folder, "inside.js"), `import "cresset/dist/ops/core.js";`);
    expect(node("inside.js").err).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });

  it.each([
    ["NodeNext", "NodeNext"],
    ["ESNext", "Bundler"],
  ])(
    "has types for module %s, resolution %s",
    (module, resolution) => {
      copyFileSync(beside("consumer.ts"), join(project.folder, "consumer.ts"));
      const options = ["--strict", "--target", "es2022", "--lib", "es2022,dom,esnext.disposable", "--types", ""];
      const resolved = ["--module", module, "--moduleResolution", resolution];
      const checked = tsc(...options, ...resolved, "--outDir", "out", "consumer.ts");
      expect(checked.out).toBe("");
      expect(checked.code).toBe(0);
      const { out, err, code } = node("out/consumer.js");
      expect({ out, err, code }).toEqual({
        out: "[ 2, 4 ] float32 [ 28, 28 ] true [ 'layer.bias', 'layer.weight' ] true\n",
        err: "",
        code: 0,
      });
    },
    60 * seconds,
  );

  it("installs the cresset command", () => {
    const help = run(join(project.folder, "node_modules/.bin/cresset"), ["--help"], project.folder);
    expect(help.code).toBe(0);
    expect(help.out).toMatch(/^Usage: cresset .*mnist/s);
    const { version } = readJson(join(repository, "package.json")) as { version: string };
    expect(run(join(project.folder, "node_modules/.bin/cresset"), ["--version"], project.folder).out).toBe(
      `${version}\n`,
    );
  });
});
