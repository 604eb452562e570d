/** The package as a user gets it: packed from what was built (`npm run build`) and installed into an empty project. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export const repository = fileURLToPath(new URL("../../", import.meta.url));
export const beside = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end. Variables given as undefined are unset. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string | undefined> = {},
): Ended {
  const child = spawnSync(command, args, {
    cwd,
    env: { ...process.env, NO_COLOR: "1", ...env },
    encoding: "utf8",
    timeout: 150_000,
    killSignal: "SIGKILL",
  });
  if (child.error !== undefined) throw child.error;
  return { code: child.status, out: child.stdout, err: child.stderr };
}

/** A folder that is gone when the test (or the file, from a hook) has ended. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "cresset-package-"));
}
export const remove = (folder: string): void => rmSync(folder, { recursive: true, force: true });
export function scratchFolder(): string {
  const folder = temporaryFolder();
  onTestFinished(() => remove(folder));
  return folder;
}

export interface Installed {
  /** The project's folder; node_modules/cresset lies in it. */
  readonly folder: string;
  readonly tarballBytes: number;
  /** What `npm install` said. */
  readonly said: string;
}

export function install(): Installed {
  if (!existsSync(join(repository, "dist/index.js"))) throw new Error("test/package: run `npm run build` first");
  const folder = temporaryFolder();
  const packed = run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], repository);
  const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  if (packed.code !== 0 || tarball === undefined) throw new Error(`npm pack: ${packed.err}`);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  const args = ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${tarball}`];
  const installed = run("npm", args, folder);
  if (installed.code !== 0) throw new Error(`npm install: ${installed.err}`);
  return { folder, tarballBytes: statSync(join(folder, tarball)).size, said: installed.out + installed.err };
}

/** Every file below a folder, by its path from there. */
export function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return entries.filter((file) => statSync(join(folder, file)).isFile());
}

export const readJson = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"));
