/**
 * Figures of the command: the curves of `cresset plot`, and what `cresset mnist --figures` leaves. What draws them is
 * `cresset/plot`; its libraries are optional and named where they are missing.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { readFile } from "#files";
import { FormatError, ValueError } from "../errors.js";
import { type Tensor, tensor } from "../index.js";
import { bar, type Figure, grid, imshow, line, plotProgress } from "../plot/index.js";
import { print } from "./output.js";

export interface PlotOptions {
  out?: string;
  open?: boolean;
  column?: string[];
  log?: boolean;
}

const maxHistoryBytes = 2 ** 30;

/** Draws the columns of a run's history: into a file, or on the terminal. */
export async function plotHistory(file: string, { out, open, column, log }: PlotOptions): Promise<void> {
  const columns = readHistory(file);
  const known = Object.keys(columns).filter((name) => name !== "step" && name !== "epoch");
  const wanted = column ?? known;
  for (const name of wanted) {
    if (columns[name] === undefined)
      throw new ValueError(`${file}: there is no column ${name}; it has ${known.join(", ")}`);
  }
  if (open && out === undefined) throw new ValueError("plot: --open opens a file; say which with --out");
  const curves = Object.fromEntries(wanted.map((name) => [name, columns[name] as Float64Array]));
  const yscale = log ? "log" : "linear";
  const [only] = wanted;
  const figure =
    wanted.length === 1 && only !== undefined
      ? lossCurve(curves[only] as Float64Array, { ylabel: only, yscale })
      : line(columns["step"] ?? columns["epoch"] ?? range(known, columns), curves, {
          xlabel: "step",
          yscale,
          figsize: [10, 5],
        });
  if (out === undefined) return figure.show();
  await figure.save(out);
  print(out);
  if (open) openFile(out);
}

const range = ([first]: string[], columns: Record<string, Float64Array>): Float64Array =>
  Float64Array.from({ length: columns[first as string]?.length ?? 0 }, (_, i) => i + 1);

/** Every loss, and where they go. */
function lossCurve(losses: ArrayLike<number>, options: { ylabel?: string; yscale?: "linear" | "log" } = {}): Figure {
  const values = Float64Array.from(losses);
  const ranked = values.filter((value) => Number.isFinite(value)).sort();
  // A few large losses at the start do not flatten the rest.
  const top = 1.05 * (ranked[Math.ceil(ranked.length * 0.99) - 1] ?? 1);
  const low = options.yscale === "log" ? (ranked.find((value) => value > 0) ?? 1e-12) : 0;
  return plotProgress(values, {
    figsize: [10, 5],
    ylim: [low, top > low ? top : low + 1],
    yticks: undefined,
    ...options,
  });
}

/** Draws the history in `folder`, and an answer: loss.png and answer.png. */
export async function saveFigures(
  folder: string,
  run: {
    image: Tensor;
    outputs: ArrayLike<number>;
    names: readonly string[];
    label: number;
  },
): Promise<string[]> {
  const { image, outputs, names, label } = run;
  const answer = grid([
    imshow(image, { cmap: "Blues", title: `label = ${names[label] ?? label}` }),
    bar(tensor(Array.from(outputs)), { ylim: [0, 1], labels: names, highlight: label, title: "answer" }),
  ]);
  const paths = [join(folder, "loss.png"), join(folder, "answer.png")];
  const { loss = new Float64Array() } = readHistory(join(folder, "history.csv"));
  await lossCurve(loss).save(paths[0] as string);
  await answer.save(paths[1] as string);
  return paths;
}

/** Opens a file with the program that the desktop has for it. */
export function openFile(path: string): void {
  const [command, ...rest] =
    process.platform === "darwin"
      ? ["open", path]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", "", path]
        : ["xdg-open", path];
  const child = spawn(command as string, rest, { stdio: "ignore", detached: true });
  child.on("error", (error) => process.stderr.write(`cresset: ${path} could not be opened: ${error.message}\n`));
  child.unref();
}

/** The columns of a CSV file of numbers, as training writes it. Throws FormatError for one that is not. */
function readHistory(file: string): Record<string, Float64Array> {
  const [header, ...rows] = new TextDecoder().decode(readFile(file, maxHistoryBytes)).trimEnd().split(/\r?\n/);
  const names = (header ?? "").split(",");
  if (rows.length === 0 || names.some((name) => !/^[\w./ -]+$/.test(name))) {
    throw new FormatError(`${file}: no history; its first line names columns, the others hold numbers`);
  }
  const columns = names.map(() => new Float64Array(rows.length));
  for (const [i, row] of rows.entries()) {
    const cells = row.split(",");
    if (cells.length !== names.length) {
      throw new FormatError(`${file}: line ${i + 2} has ${cells.length} numbers; there are ${names.length} columns`);
    }
    for (const [j, cell] of cells.entries()) {
      const value = cell.trim() === "" ? Number.NaN : Number(cell);
      if (Number.isNaN(value) && !/^\s*(nan)?\s*$/i.test(cell)) {
        throw new FormatError(`${file}: line ${i + 2}: ${JSON.stringify(cell.slice(0, 20))} is not a number`);
      }
      (columns[j] as Float64Array)[i] = value;
    }
  }
  return Object.fromEntries(names.map((name, j) => [name, columns[j] as Float64Array]));
}
