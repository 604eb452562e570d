/**
 * What commands print: lines for people, or, with `--json`, one JSON document on stdout and the lines on stderr, so that a
 * program can read the one while a person reads the other.
 */
import { basename, relative } from "node:path";
import pc from "picocolors";

let forMachines = false;

/** From now on lines go to stderr, and `result` prints JSON. */
export function printJson(yes: boolean | undefined): void {
  forMachines = yes ?? false;
}

export const print = (text: string): void => void (forMachines ? process.stderr : process.stdout).write(`${text}\n`);

/** A line with its subject in front. */
export const say = (what: string, text: string): void => print(`${pc.cyan(what.padEnd(9))} ${text}`);

/** The document for `--json`; nothing without it. */
export function result(value: unknown): void {
  if (forMachines) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** 12345 → "12,345". */
export const count = (value: number): string => value.toLocaleString("en");

/** Bytes as people read them: "1.2 MB". */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; value >= 1000 && i < units.length - 1; i++) value /= 1000;
  return `${i === 0 ? value : value.toFixed(1)} ${units[i]}`;
}

/** Rows under titles; the first column to the left, the others to the right. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join("  ");
  const rule = widths.map((width) => "─".repeat(width)).join("──");
  return [pc.bold(line(titles)), rule, ...rows.map(line)].join("\n");
}

/** The line that starts this program with other words, the way it was started: by npm's script, npx, node or its own name. */
export function again([command, ...words]: readonly [command: string, ...words: string[]]): string {
  const { npm_command: npm, npm_lifecycle_event: script } = process.env;
  const [, file = ""] = process.argv;
  const quoted = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`));
  const byItsName = basename(file) === "cresset";
  const start =
    (npm === "run" || npm === "run-script") && script === command
      ? ["npm", "run", command, "--"]
      : npm === "exec"
        ? ["npx", "cresset", command]
        : byItsName
          ? ["cresset", command]
          : ["node", relative(".", file), command];
  return [...start, ...quoted].join(" ");
}
