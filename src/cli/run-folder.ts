/**
 * What a training run leaves behind beside its checkpoints: weights, settings, summary, each written whole; and reading the
 * settings back for `--resume`.
 */
import { exists, join, readFile, writeFileAtomic } from "#files";
import { DataError, FormatError, ValueError } from "../errors.js";
import type { DeviceLike } from "../index.js";
import { again } from "./output.js";
import { type DatasetName, datasetNames } from "./source.js";

export type TrainingCommand = "mnist" | "gan";

/** Options that both commands have. */
export interface RunOptions {
  epochs?: number;
  batch?: number;
  lr?: number;
  seed: number;
  data?: string;
  dataset: DatasetName;
  out?: string;
  /** The folder of a run to go on with; its settings stand. */
  resume?: string;
  json?: boolean;
  /** As given; torch refuses one it does not know. */
  device: DeviceLike;
}

/** The same where none of them is left to a recipe. */
export type CompleteOptions = RunOptions & Required<Pick<RunOptions, "epochs" | "batch" | "lr">>;

/** What a run was begun with: the first part of its summary.json. */
export interface RunSettings {
  readonly command: TrainingCommand;
  /** Which of the command's models, where there are several. */
  readonly model?: string;
  /** The name of the data set, and where it lies. */
  readonly dataset: string;
  readonly origin: string;
  readonly trainImages: number;
  /** Tells other images under the same name. */
  readonly imagesDigest: string;
  readonly epochs: number;
  readonly batch: number;
  readonly lr: number;
  readonly seed: number;
  readonly device: string;
  readonly started: string;
}

/** The settings of a run to go on with, and when it was finished, if it was. */
export type SavedRun = RunSettings & { readonly finished?: string };

/** `runs/20260131-235959-mnist`, with a number after it when two runs start in one second. */
export function newRunFolder(command: TrainingCommand, now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  const base = join("runs", `${date}-${time}-${command}`);
  let folder = base;
  for (let n = 2; exists(folder); n++) folder = `${base}-${n}`;
  return folder;
}

/** Writes summary.json. */
export function saveSummary(folder: string, summary: object): void {
  writeFileAtomic(join(folder, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
}

const maxSummaryBytes = 2 ** 24;

/** Reads the settings of the run in `folder`. Throws DataError where there is none, FormatError for another command's. */
function readRun(folder: string, command: TrainingCommand): SavedRun {
  if (!exists(folder)) throw new DataError(`${folder}: there is no such folder`);
  for (const name of ["summary.json", "last.pt"]) {
    if (!exists(join(folder, name)))
      throw new DataError(`${folder}: there is no run of cresset ${command} to go on with: ${name} is missing`);
  }
  const path = join(folder, "summary.json");
  let saved: Partial<Record<keyof SavedRun, unknown>>;
  try {
    saved = JSON.parse(new TextDecoder().decode(readFile(path, maxSummaryBytes))) as typeof saved;
  } catch (error) {
    throw new FormatError(`${path}: no summary of a run: ${(error as Error).message}`, { cause: error });
  }
  const other = saved?.command;
  if (other !== command && (other === "mnist" || other === "gan"))
    throw new FormatError(
      `${folder}: this is a run of cresset ${other}; to go on: ${again([other, "--resume", folder])}`,
    );
  const counts = [saved?.epochs, saved?.batch, saved?.seed].every(
    (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  );
  const texts = [saved?.origin, saved?.imagesDigest, saved?.device].every((value) => typeof value === "string");
  const known = typeof saved?.dataset === "string" && Object.hasOwn(datasetNames, saved.dataset);
  if (other !== command || !counts || !texts || !known || !((saved.lr as number) > 0))
    throw new FormatError(`${path}: this is no run of cresset ${command}`);
  return saved as SavedRun;
}

/**
 * The options that hold: those asked for, or, with `--resume`, the run's own, but for what may change: how many epochs, and where
 * the same images and the device are now.
 *
 * @param asked the options with their defaults
 * @param typed the names of those that were typed. Throws ValueError for one that contradicts the run.
 * @returns them, and what the run was when it is gone on with
 */
export function optionsOf<T extends RunOptions & { model?: string }>(
  command: TrainingCommand,
  asked: T,
  typed: ReadonlySet<string>,
): { options: T; saved?: SavedRun } {
  if (asked.resume === undefined) return { options: asked };
  const saved = readRun(asked.resume, command);
  const dataset = datasetNames[saved.dataset] as DatasetName;
  const { model, batch, lr, seed } = saved;
  const fixed = { ...(model === undefined ? {} : { model }), batch, lr, seed, dataset };
  for (const [name, value] of Object.entries(fixed)) {
    const wanted = asked[name as keyof typeof fixed];
    if (typed.has(name) && wanted !== value && !(name === "dataset" && wanted === "auto"))
      throw new ValueError(
        `--${name} ${wanted}: the run in ${asked.resume} was begun with ${value}, and goes on with it`,
      );
  }
  const options = {
    ...asked,
    ...fixed,
    epochs: typed.has("epochs") ? asked.epochs : saved.epochs,
    data: asked.data ?? (dataset === "digits" ? undefined : saved.origin),
    device: typed.has("device") ? asked.device : saved.device,
  };
  return { options, saved };
}
