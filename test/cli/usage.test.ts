/**
 * The command's manners: usage, help, completion, errors in one line, and what it says of this machine. Runs what was built (dist).
 */
import { exec, execFile } from "node:child_process";
import { chmodSync, existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { put, putMnist, temporaryFolder } from "../vision/fixtures.js";
import { cresset, main, runFiles, smallMnist } from "./command.js";

describe("this machine", { timeout: 120_000 }, () => {
  it("is described", async () => {
    const [text, wasm, without] = await Promise.all([
      cresset(["info"]),
      cresset(["info", "--json"], { env: { CRESSET_CPU: "wasm" } }),
      cresset(["info"], { env: { PATH: "", CC: "" } }),
    ]);
    expect(text.code).toBe(0);
    expect(text.out).toMatch(/^engine +(native|wasm), \d+ threads?$/m);
    expect(text.out).toMatch(/^ {2}wasm +128-bit SIMD/m);
    expect(JSON.parse(wasm.out)).toMatchObject({
      engine: "wasm",
      devices: ["cpu"],
      engines: { wasm: { works: true } },
    });
    expect(without.out).toMatch(/^ {2}native +not here: /m);
  });

  it("is measured", async () => {
    const [document, table] = await Promise.all([
      cresset(["bench", "--seconds", "0.001", "--json"]),
      cresset(["bench", "--seconds", "0.001"]),
    ]);
    expect(document.code).toBe(0);
    const engines = JSON.parse(document.out) as {
      engine: string;
      results: { name: string; unit: string; value: number }[];
    }[];
    expect(engines.map(({ engine }) => engine)).toContain("wasm");
    for (const { results } of engines) {
      expect(results.length).toBe(8);
      for (const { value } of results) expect(value).toBeGreaterThan(0);
    }
    expect(table.out).toMatch(/^step of the seed, compiled +[\d.,]+ .*µs$/m);
  });
});

describe("usage", { timeout: 30_000 }, () => {
  it.concurrent.each<[string[], RegExp]>([
    [["mnist", "--epochs", "0"], /--epochs <n>' argument '0' is invalid/],
    [["mnist", "--lr", "fast"], /must be a number above 0/],
    [["mnist", "--model", "best"], /Allowed choices are refined, seed\.$/m],
    [["mnist", "--model", "refind"], /\(Did you mean refined\?\)/],
    [["mnist", "--dataset", "fash"], /\(Did you mean fashion\?\)/],
    [["mnist", "--epoch", "1"], /\(Did you mean --epochs\?\)/],
    [["mnist", "--batch", ""], /must be a whole number, 1 or more/],
    [["mnst"], /\(Did you mean mnist\?\)/],
    [["export", "w.pt"], /required option '--out <file>' not specified/],
    [["plot"], /missing required argument 'file'/],
    [["completion", "tcsh"], /Allowed choices are zsh, bash, fish, powershell/],
    [["mnist", "--nonsense"], /unknown option '--nonsense'/],
    [["mnist", "predict"], /required option '--weights <file>' not specified/],
    [["nonsense"], /unknown command/],
    [["mnist", "predit"], /unknown command 'predit'\n\(Did you mean predict\?\)/],
    [["mnist", "xyz"], /unknown command 'xyz'\n\(--help/],
  ])("%j is refused with 2", async (args, message) => {
    const { code, err } = await cresset(args, { cwd: tmpdir() });
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  it("helps, with examples, and at once", async () => {
    const [help, gan] = await Promise.all([cresset(["mnist", "--help"]), cresset(["gan", "--help"])]);
    expect(help.code).toBe(0);
    const lines = (help.out + gan.out).split("\n");
    expect(lines.filter((line) => line.length > 82)).toEqual([]);
    for (const option of [
      "--model",
      "--epochs",
      "--batch",
      "--lr",
      "--seed",
      "--data",
      "--out",
      "--device",
      "Examples:",
    ])
      expect(help.out).toContain(option);
  });

  it("completes commands, options and values in each shell", async () => {
    const shells = ["zsh", "bash", "fish", "powershell"];
    for (const { code, out } of await Promise.all(shells.map((shell) => cresset(["completion", shell]))))
      expect([code, out]).toEqual([0, expect.stringContaining("cresset")]);
    const completed = async (...words: string[]) =>
      (await cresset(["complete", "--", ...words])).out.split("\n").map((line) => line.split("\t")[0]);
    const [commands, options, values] = await Promise.all([
      completed(""),
      completed("mnist", "--e"),
      completed("mnist", "--dataset", ""),
    ]);
    expect(commands).toEqual(expect.arrayContaining(["mnist", "gan", "info", "bench", "export", "plot", "completion"]));
    expect(options).toContain("--epochs");
    expect(values).toEqual(expect.arrayContaining(["mnist", "fashion", "digits"]));
  });

  it("completes in bash, without the package bash-completion, files too, and may be loaded twice", async () => {
    const cwd = temporaryFolder();
    put(join(cwd, "bin/cresset"), Buffer.from(`#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`));
    chmodSync(join(cwd, "bin/cresset"), 0o755);
    const script = `
      source <(cresset completion bash) && source <(cresset completion bash) || exit 1
      complete -p cresset
      compopt() { :; } # the real one wants a terminal
      try() {
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        __cresset_complete cresset
        echo "\${COMPREPLY[*]}"
      }
      try cresset mn; try cresset mnist --ep; try cresset mnist --dataset fa; try cresset plot ""`;
    const { stdout, stderr } = await promisify(execFile)("bash", ["--norc", "-c", script], {
      cwd,
      env: { ...process.env, PATH: `${join(cwd, "bin")}:${process.env.PATH}` },
    });
    expect([stdout.split("\n"), stderr]).toEqual([
      [
        expect.stringMatching(/^complete -o default -F __cresset_complete cresset$/),
        "mnist",
        "--epochs",
        "fashion",
        "",
        "",
      ],
      "",
    ]);
    const directive = async (...words: string[]) =>
      (await cresset(["complete", "--", ...words])).out.trim().split("\n").at(-1);
    const directives = [directive("plot", ""), directive("mnist", "--out", ""), directive("mn")];
    expect(await Promise.all(directives)).toEqual([":0", ":0", ":4"]);
  });

  it("a full disk behind a pipe is told at the end, and ends no training", async () => {
    if (!existsSync("/dev/full")) return; // Linux has it
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    const command = `"${process.execPath}" "${main}" mnist --data "${data}" --epochs 1 --out run > /dev/full`;
    const failed = await promisify(exec)(command, { cwd }).catch((error: { code: number; stderr: string }) => error);
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^cresset: what was printed could not be written: ENOSPC/m),
    });
    expect(readdirSync(join(cwd, "run")).toSorted()).toEqual(runFiles);
  });

  it("documents its exit codes", async () => {
    expect((await cresset(["--help"])).out).toMatch(/Exit codes:\n +0 +done\n +1 .* 2 .* 130 /s);
  });

  it("a folder that cannot be written is known before the work", async () => {
    const cwd = temporaryFolder();
    const data = smallMnist(join(cwd, "data"));
    put(join(cwd, "file"), new Uint8Array(1));
    const refused = async (folder: string): Promise<void> => {
      const { code, out, err } = await cresset(["mnist", "--data", data, "--out", folder], { cwd });
      const message = `^cresset: cannot write ${folder}/summary\\.json: .*\n$`;
      expect([code, err]).toEqual([1, expect.stringMatching(new RegExp(message))]);
      expect(out).not.toContain("trained");
    };
    // Where a file system lets nobody make folders, Node's own way of making them never ends: /proc, where there is one.
    const folders = ["file/run", ...(existsSync("/proc/self") ? ["/proc/a/b"] : [])];
    await Promise.all(folders.map(refused));
  });

  it("an unknown device and a folder without data are errors", async () => {
    const folder = temporaryFolder();
    putMnist(folder, "t10k", [1]);
    put(join(folder, "train-images-idx3-ubyte"), new Uint8Array(3));
    put(join(folder, "train-labels-idx1-ubyte"), new Uint8Array(3));
    const [device, damaged] = await Promise.all([
      cresset(["mnist", "--dataset", "digits", "--device", "abacus"]),
      cresset(["mnist", "--data", folder]),
    ]);
    expect([device.code, device.err]).toEqual([1, expect.stringMatching(/^cresset: .*abacus.*\n$/)]);
    expect([damaged.code, damaged.err]).toEqual([
      1,
      expect.stringMatching(/^cresset: .*3 bytes; an IDX file has at least 4\n$/),
    ]);
  });
});
