/** The command as a user runs it, in a process of its own, and what its tests need: images, signals, what a run has left. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { idxBytes, put, temporaryFolder } from "../vision/fixtures.js";

export const main = join(dirname(createRequire(import.meta.url).resolve("cresset/package.json")), "dist/cli/main.js");

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

interface How {
  cwd?: string;
  env?: Record<string, string>;
  /** Called with what has been printed so far, whenever there is more. */
  watch?: (printed: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export function cresset(args: string[], { cwd = temporaryFolder(), env = {}, watch }: How = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    // npm's variables say how the tests were started, not how the command is.
    env: { ...process.env, npm_command: "", CRESSET_DATA: "", NO_COLOR: "1", ...env },
  });
  const ended: Ended = { code: null, out: "", err: "" };
  const kill = (signal: NodeJS.Signals) => void child.kill(signal);
  const listen = (stream: "out" | "err") => (text: Buffer) => {
    ended[stream] += text.toString();
    watch?.(ended.out + ended.err, kill);
  };
  child.stdout.on("data", listen("out"));
  child.stderr.on("data", listen("err"));
  return new Promise((resolve) => child.on("close", (code) => resolve({ ...ended, code })));
}

/** Enough to train on for a moment: `length` images, each label on its own part of the image. */
export function smallMnist(folder: string, length = 320): string {
  const labels = Array.from({ length }, (_, i) => i % 10);
  const pixels = new Uint8Array(length * 784);
  labels.forEach((label, i) => void pixels.fill(255, i * 784 + label * 78, i * 784 + label * 78 + 78));
  for (const half of ["train", "t10k"]) {
    put(join(folder, `${half}-images-idx3-ubyte`), idxBytes([length, 28, 28], pixels));
    put(join(folder, `${half}-labels-idx1-ubyte`), idxBytes([length], labels));
  }
  return folder;
}

/** Sends a signal when something is printed, once, or so many milliseconds later. */
export function onPrinted(text: RegExp, signal: NodeJS.Signals, delay = 0): How["watch"] {
  let sent = false;
  return (printed, kill) => {
    if (sent || !text.test(printed)) return;
    sent = true;
    if (delay === 0) kill(signal);
    else setTimeout(kill, delay, signal);
  };
}

// Bytes are compared by their digests: a matcher takes seconds for megabytes.
export const digest = (bytes: NodeJS.ArrayBufferView): string => createHash("sha256").update(bytes).digest("hex");
export const fileDigest = (...path: string[]): string => digest(readFileSync(join(...path)));

/** The files of a folder and what is in them. */
export const contents = (folder: string) => readdirSync(folder).map((name) => [name, fileDigest(folder, name)]);

export const json = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

/** What a run of `cresset mnist` leaves. */
export const runFiles = ["history.csv", "last.pt", "summary.json", "weights.safetensors"];
