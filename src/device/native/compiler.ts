/**
 * Turns C into a shared library: finds the system's compiler, knows the flags for the processor at hand, and keeps the
 * results in the user's cache folder under a hash of source, flags, compiler and processor.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { CompileError, ValueError } from "../../errors.js";
import type { Vectors } from "../../kernel/c/micro.js";

export interface Processor {
  readonly name: string;
  /** The widest vector registers worth using. */
  readonly vectors: Vectors;
  /** Bytes of a core's second-level cache and of the last level, as far as known. */
  readonly near: number;
  readonly cache: number;
}

/** Bytes of a cache; `common` where the system does not tell. */
function cacheBytes(level: 2 | 3, common: number): number {
  try {
    const text = fs.readFileSync(`/sys/devices/system/cpu/cpu0/cache/index${level}/size`, "utf8");
    const [, n, unit] = /^(\d+)([KM])/.exec(text) ?? [];
    return n === undefined ? common : Number(n) * (unit === "M" ? 2 ** 20 : 2 ** 10);
  } catch {
    return common;
  }
}

export function detectProcessor(): Processor {
  let flags = "";
  let name = os.cpus()[0]?.model ?? process.arch;
  if (process.platform === "linux") {
    try {
      const info = fs.readFileSync("/proc/cpuinfo", "utf8");
      flags = /^flags\s*: (.*)$/m.exec(info)?.[1] ?? "";
      name = `${name} ${flags}`;
    } catch {
      // No /proc: the compiler's own default is used.
    }
  } else if (process.platform === "darwin" && process.arch === "x64") flags = "avx2";
  const has = (flag: string): boolean => ` ${flags} `.includes(` ${flag} `);
  const bytes = has("avx512f") ? 64 : has("avx2") ? 32 : 16;
  const count = bytes === 64 || process.arch === "arm64" ? 32 : 16;
  return { name, vectors: { bytes, count }, near: cacheBytes(2, 1 << 20), cache: cacheBytes(3, 32 << 20) };
}

/** The user's cache folder: CRESSET_CACHE, else XDG's, else the platform's custom. */
export function cacheFolder(): string {
  const chosen = process.env["CRESSET_CACHE"];
  if (chosen) return path.resolve(chosen);
  const xdg = process.env["XDG_CACHE_HOME"];
  if (xdg) return path.join(xdg, "cresset");
  if (process.platform === "darwin") return path.join(os.homedir(), "Library", "Caches", "cresset");
  return path.join(os.homedir(), ".cache", "cresset");
}

function findCompiler(): string | null {
  const named = process.env["CC"];
  const names = named ? [named, "cc", "gcc", "clang"] : ["cc", "gcc", "clang"];
  for (const name of names) {
    for (const folder of (process.env["PATH"] ?? "").split(path.delimiter)) {
      const file = path.resolve(folder, name);
      try {
        fs.accessSync(file, fs.constants.X_OK);
        if (fs.statSync(file).isFile()) return file;
      } catch {
        // Not there: look on.
      }
    }
  }
  return null;
}

const baseFlags = [
  "-O3",
  "-std=gnu11",
  "-shared",
  "-fPIC",
  "-fwrapv",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-fopenmp-simd",
  "-w",
];

const day = 86_400_000;
/** A library that no process has asked for in so long is removed: another compiler, processor or version made it. */
const keep = 90 * day;

/** Appended to each cached library; loaders ignore what follows the last section. */
const sealBytes = 40;
const sealMark = Buffer.from("cresset1");

export class Compiler {
  private announced = false;
  private readonly folder: string;
  private readonly identity: string;

  private constructor(
    readonly executable: string,
    readonly processor: Processor,
    private readonly timeout: number,
  ) {
    this.folder = path.join(cacheFolder(), "kernels-1");
    const real = fs.realpathSync(this.executable);
    const { size, mtimeMs } = fs.statSync(real);
    this.identity = `${real}|${size}|${mtimeMs}|${processor.name}`;
  }

  /** Null where the PATH has no compiler. */
  static find(processor: Processor): Compiler | null {
    const file = findCompiler();
    if (file === null) return null;
    const seconds = Number(process.env["CRESSET_COMPILE_TIMEOUT"] || 60);
    if (!(seconds > 0)) {
      throw new ValueError(
        `CRESSET_COMPILE_TIMEOUT: '${process.env["CRESSET_COMPILE_TIMEOUT"]}' is not a number of seconds`,
      );
    }
    return new Compiler(file, processor, seconds * 1000);
  }

  get flags(): string[] {
    return [...baseFlags, process.arch === "arm64" ? "-mcpu=native" : "-march=native"];
  }

  /**
   * What makes the compiler use the widest vectors. For Intel's processors it prefers half of them, which suits work that waits
   * for memory, and makes work that computes take up to half as long again.
   */
  get widest(): string[] {
    return process.arch === "x64" && this.processor.vectors.bytes === 64 ? ["-mprefer-vector-width=512"] : [];
  }

  /** The library's path; `fresh` tells whether it had to be compiled. */
  library(source: string, extra: readonly string[], rebuild = false): { file: string; fresh: boolean } {
    const flags = [...this.flags, ...extra];
    const hash = createHash("sha256")
      .update(`${this.identity}\n${flags.join(" ")}\n${source}`)
      .digest("hex")
      .slice(0, 32);
    const file = path.join(this.folder, `${hash}.so`);
    if (!rebuild && sealed(file)) {
      touch(file);
      return { file, fresh: false };
    }
    const first = !this.announced;
    this.compile(source, flags, file);
    if (first) prune(this.folder);
    return { file, fresh: true };
  }

  private compile(source: string, flags: readonly string[], file: string): void {
    if (!this.announced && !process.env["CRESSET_QUIET"]) {
      process.stderr.write(`cresset: compiling kernels for this processor (once; kept in ${this.folder})\n`);
    }
    this.announced = true;
    try {
      fs.mkdirSync(this.folder, { recursive: true });
    } catch (cause) {
      throw new CompileError(`compile: the cache folder ${this.folder} cannot be made; set CRESSET_CACHE to another`, {
        cause,
      });
    }
    const scratch = fs.mkdtempSync(path.join(this.folder, "build-"));
    try {
      const input = path.join(scratch, "kernel.c");
      const output = path.join(scratch, "kernel.so");
      fs.writeFileSync(input, source);
      const run = spawnSync(this.executable, [...flags, "-o", output, input, "-lpthread", "-ldl"], {
        encoding: "utf8",
        timeout: this.timeout,
        killSignal: "SIGKILL",
        maxBuffer: 1 << 22,
      });
      if (run.error !== undefined && (run.error as NodeJS.ErrnoException).code === "ETIMEDOUT") {
        throw new CompileError(`compile: ${this.executable} did not finish within ${this.timeout / 1000} s`);
      }
      if (run.status !== 0) {
        const message = (run.stderr ?? run.error?.message ?? "").trim() || `exit status ${run.status ?? run.signal}`;
        throw new CompileError(`compile: ${this.executable} failed: ${message.slice(0, 2000)}`, { cause: run.error });
      }
      if (!fs.existsSync(output))
        throw new CompileError(`compile: ${this.executable} reported success and wrote no library`);
      seal(output);
      fs.renameSync(output, file);
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  }
}

/** Notes that a library is in use: at most once a day. */
function touch(file: string): void {
  const now = Date.now();
  try {
    if (now - fs.statSync(file).mtimeMs > day) fs.utimesSync(file, now / 1000, now / 1000);
  } catch {
    // A cache that others own is not kept from here.
  }
}

/** Removes what nobody has used for long, and what a compilation that was killed left behind. */
function prune(folder: string): void {
  const now = Date.now();
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    try {
      if (now - fs.statSync(file).mtimeMs > (entry.isDirectory() ? day : keep)) fs.rmSync(file, { recursive: true });
    } catch {
      // Another process has just removed it, or may, where this one may not.
    }
  }
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function seal(file: string): void {
  const bytes = fs.readFileSync(file);
  fs.appendFileSync(file, Buffer.concat([sealMark, digestOf(bytes)]));
}

/** A library that was cut short or changed must not reach the loader: it could crash the process. */
function sealed(file: string): boolean {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file);
  } catch {
    return false;
  }
  if (bytes.length <= sealBytes) return false;
  const body = bytes.subarray(0, bytes.length - sealBytes);
  const end = bytes.subarray(bytes.length - sealBytes);
  return end.subarray(0, 8).equals(sealMark) && end.subarray(8).equals(digestOf(body));
}
