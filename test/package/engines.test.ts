/** Which engine a program gets, and what it is told: without a compiler, with one that fails or hangs, with a broken cache. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Ended, repository, run, scratchFolder } from "./installed.js";

/** Run as a program of its own; `cresset` is what was built, found from the repository's folder. */
const program = `
  import * as torch from "cresset";
  const x = torch.tensor([1, 2, 3], { requiresGrad: true });
  x.mul(x).sum().backward();
  const y = torch.ones([3, 4]).matmul(torch.ones([4, 2]));
  console.log(torch.cpuEngineName(), x.grad.tolist().join(), y.sum().item());`;
const args = ["--input-type=module", "-e", program];
const onNative = "native 2,4,6 24\n";
const onWasm = "wasm 2,4,6 24\n";

const start = (env: Record<string, string | undefined>): Ended =>
  run(process.execPath, args, repository, { CRESSET_CPU: undefined, CRESSET_QUIET: undefined, CC: undefined, ...env });

function script(name: string, text: string): string {
  const file = join(scratchFolder(), name);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

const librariesIn = (cache: string): string[] => {
  const folder = join(cache, "kernels-1");
  return readdirSync(folder).flatMap((file) => (file.endsWith(".so") ? [join(folder, file)] : []));
};

describe("without a compiler", () => {
  it("says so in one line and runs on wasm", () => {
    const { code, out, err } = start({ PATH: scratchFolder(), CRESSET_CACHE: scratchFolder() });
    expect({ code, out }).toEqual({ code: 0, out: onWasm });
    expect(err).toMatch(/^cresset: no C compiler \(cc, gcc or clang\) on the PATH: [^\n]*WebAssembly[^\n]*\n$/);
  });

  it("says nothing when asked for quiet or for wasm", () => {
    const env = { PATH: scratchFolder(), CRESSET_CACHE: scratchFolder() };
    expect(start({ ...env, CRESSET_QUIET: "1" })).toEqual({ code: 0, out: onWasm, err: "" });
    expect(start({ ...env, CRESSET_CPU: "wasm" })).toEqual({ code: 0, out: onWasm, err: "" });
  });

  it("is an error for a program that asks for native", () => {
    const { code, err } = start({ PATH: scratchFolder(), CRESSET_CACHE: scratchFolder(), CRESSET_CPU: "native" });
    expect(code).toBe(1);
    expect(err).toContain("DeviceError: native engine: no C compiler (cc, gcc or clang) on the PATH");
  });

  it("refuses an engine that there is not", () => {
    const { code, err } = start({ CRESSET_CPU: "abacus" });
    expect(code).toBe(1);
    expect(err).toContain(`ValueError: CRESSET_CPU: 'abacus' is not "native" or "wasm"`);
  });
});

describe("with a compiler that does not work", () => {
  it("that fails: names it and its message, then runs on wasm", () => {
    const CC = script("broken-cc", "echo 'stdlib.h: no such file' >&2; exit 1");
    const { code, out, err } = start({ CC, CRESSET_CACHE: scratchFolder() });
    expect({ code, out }).toEqual({ code: 0, out: onWasm });
    expect(err).toContain("the C compiler does not work here: running on WebAssembly");
    expect(err).toContain(`${CC} failed: stdlib.h: no such file`);
  });

  it("that fails without a word: gives its exit status", () => {
    const { code, out, err } = start({ CC: script("silent-cc", "exit 3"), CRESSET_CACHE: scratchFolder() });
    expect({ code, out }).toEqual({ code: 0, out: onWasm });
    expect(err).toContain("failed: exit status 3");
  });

  it.each([
    ["nothing", "exit 0"],
    ["what is no library", 'while [ "$1" != -o ]; do shift; done; echo junk > "$2"'],
  ])("that succeeds and makes %s: names it, then runs on wasm", (_, text) => {
    const CC = script("odd-cc", text);
    const { code, out, err } = start({ CC, CRESSET_CACHE: scratchFolder() });
    expect({ code, out }).toEqual({ code: 0, out: onWasm });
    expect(err).toContain("running on WebAssembly");
    expect(err).toContain(CC);
  });

  it.each([
    ["hangs", "exec sleep 30"],
    ["has a child that hangs", "sleep 30"],
  ])(
    "that %s: is stopped after CRESSET_COMPILE_TIMEOUT, then runs on wasm",
    (_, text) => {
      const CC = script("slow-cc", text);
      const began = performance.now();
      const { code, out, err } = start({ CC, CRESSET_COMPILE_TIMEOUT: "1", CRESSET_CACHE: scratchFolder() });
      expect({ code, out }).toEqual({ code: 0, out: onWasm });
      expect(err).toContain(`${CC} did not finish within 1 s`);
      expect(performance.now() - began).toBeLessThan(15_000);
    },
    60_000,
  );

  it("whose cache folder cannot be made: names it, then runs on wasm", () => {
    const file = join(scratchFolder(), "file");
    writeFileSync(file, "");
    const { code, out, err } = start({ CRESSET_CACHE: join(file, "cache") });
    expect({ code, out }).toEqual({ code: 0, out: onWasm });
    expect(err).toContain("the cache folder");
    expect(err).toContain("CRESSET_CACHE");
  });
});

describe("the cache", () => {
  it("forgets what nobody has used for long, and keeps what is in use", () => {
    const cache = scratchFolder();
    expect(start({ CRESSET_CACHE: cache }).out).toBe(onNative);
    const months = (n: number): Date => new Date(Date.now() - n * 30 * 86_400_000);
    const used = librariesIn(cache);
    for (const file of used) utimesSync(file, months(4), months(4));
    expect(start({ CRESSET_CACHE: cache })).toEqual({ code: 0, out: onNative, err: "" });

    const folder = join(cache, "kernels-1");
    const [old, recent, killed] = ["old.so", "recent.so", "build-killed"].map((name) => join(folder, name));
    for (const file of [old!, recent!]) writeFileSync(file, "");
    mkdirSync(killed!);
    utimesSync(recent!, months(2), months(2));
    for (const file of [old!, killed!]) utimesSync(file, months(4), months(4));
    const compiles = 'import * as torch from "cresset"; console.log(torch.ones([2]).erf().dtype);';
    const env = { CRESSET_CPU: undefined, CC: undefined, CRESSET_QUIET: "1", CRESSET_CACHE: cache };
    expect(run(process.execPath, ["--input-type=module", "-e", compiles], repository, env).out).toBe("float32\n");
    expect([old!, recent!, killed!].map((file) => existsSync(file))).toEqual([false, true, false]);
    expect(used.filter((file) => !existsSync(file))).toEqual([]);
  });

  it("is used by the next start, which says nothing and compiles nothing", () => {
    const CRESSET_CACHE = scratchFolder();
    const first = start({ CRESSET_CACHE });
    expect(first.out).toBe(onNative);
    expect(first.err).toMatch(/^cresset: compiling kernels for this processor \(once; kept in [^\n]*\)\n$/);
    const before = librariesIn(CRESSET_CACHE).map((file) => [file, statSync(file).mtimeMs]);
    expect(before.length).toBeGreaterThan(2);
    expect(start({ CRESSET_CACHE })).toEqual({ code: 0, out: onNative, err: "" });
    expect(librariesIn(CRESSET_CACHE).map((file) => [file, statSync(file).mtimeMs])).toEqual(before);
  }, 120_000);

  it.each([
    ["cut short", (file: string) => truncateSync(file, Math.floor(statSync(file).size / 2))],
    ["emptied", (file: string) => truncateSync(file, 0)],
    [
      "changed in one byte",
      (file: string) => {
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(file, bytes);
      },
    ],
  ])(
    "is rebuilt where files were %s",
    (_, damage) => {
      const CRESSET_CACHE = scratchFolder();
      expect(start({ CRESSET_CACHE }).out).toBe(onNative);
      const files = librariesIn(CRESSET_CACHE);
      for (const file of files) damage(file);
      const damaged = files.map((file) => readFileSync(file).toString("base64"));
      const { code, out } = start({ CRESSET_CACHE });
      expect({ code, out }).toEqual({ code: 0, out: onNative });
      files.forEach((file, i) => {
        expect(readFileSync(file).toString("base64") === damaged[i], `${file} is as damaged as before`).toBe(false);
      });
      expect(start({ CRESSET_CACHE })).toEqual({ code: 0, out: onNative, err: "" });
    },
    120_000,
  );

  it("may be filled by several processes at once", async () => {
    const CRESSET_CACHE = scratchFolder();
    const env = { ...process.env, CRESSET_CACHE, CRESSET_CPU: "native" };
    const all = await Promise.all(
      Array.from({ length: 6 }, () => {
        const child = spawn(process.execPath, args, { cwd: repository, env, stdio: ["ignore", "pipe", "pipe"] });
        let printed = "";
        child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
        child.stderr.on("data", (chunk: Buffer) => (printed += chunk.toString()));
        return new Promise<{ code: number | null; printed: string }>((resolve) => {
          child.on("close", (code) => resolve({ code, printed }));
        });
      }),
    );
    for (const { code, printed } of all) {
      expect(printed).toContain(onNative);
      expect(code).toBe(0);
    }
    // Nothing half-built stays behind.
    expect(readdirSync(join(CRESSET_CACHE, "kernels-1")).filter((file) => !file.endsWith(".so"))).toEqual([]);
    expect(start({ CRESSET_CACHE })).toEqual({ code: 0, out: onNative, err: "" });
  }, 180_000);
});
