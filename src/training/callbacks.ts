/**
 * What can happen around a training loop: checkpoints, early stopping, logs, a bar. A callback is any object with some of
 * these functions; the classes here are the common ones.
 */
import { exists, join, readFile, writeFileAtomic } from "#files";
import { ValueError } from "../errors.js";
import type { Module } from "../nn/index.js";
import type { StepFigures } from "./figures.js";
import { ProgressBar, type ProgressOptions } from "./progress.js";
import type { SummaryWriter } from "./summary-writer.js";
import type { EpochRecord, Trainable } from "./trainer.js";

/** What a callback sees of a trainer. */
export interface Training {
  readonly model: Module;
  readonly optimiser: Trainable;
  readonly epoch: number;
  readonly epochs: number;
  readonly batch: number;
  readonly batches: number | undefined;
  readonly steps: number;
  readonly history: readonly EpochRecord[];
  readonly interrupted: boolean;
  figures(): Record<string, number>;
  stop(): void;
  save(path: string): Promise<void>;
}

/** A callback that only looks gives nothing. */
type Done = void | Promise<void>;

/** All are optional, all may be async, and training waits for them. */
export interface Callback {
  /** True: called after the others, so that a checkpoint holds what they remember. */
  readonly last?: boolean;
  onFitStart?(training: Training): Done;
  onEpochStart?(training: Training): Done;
  onStepEnd?(training: Training, figures: StepFigures): Done;
  /** `record` is the last of the history. */
  onEpochEnd?(training: Training, record: EpochRecord): Done;
  /** Ctrl-C, SIGTERM or the signal given came, and the step it came in is finished. */
  onInterrupt?(training: Training): Done;
  onFitEnd?(training: Training): Done;
  /** What a resumed run must remember: plain data. */
  stateDict?(): object;
  loadStateDict?(state: never): void;
}

export interface MonitorOptions {
  /** The figure of an epoch that decides: "valLoss" by default. */
  monitor?: string;
  /** Whether less or more of it is better: "min" by default. */
  mode?: "min" | "max";
}

/** The best value of a figure so far. */
class Best {
  value: number;
  readonly monitor: string;
  readonly #sign: 1 | -1;

  constructor(
    readonly where: string,
    { monitor = "valLoss", mode = "min" }: MonitorOptions,
  ) {
    if (mode !== "min" && mode !== "max") throw new ValueError(`${where}: mode is "${String(mode)}"; it is min or max`);
    this.monitor = monitor;
    this.#sign = mode === "min" ? 1 : -1;
    this.value = mode === "min" ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  read(record: EpochRecord): number {
    const value = record[this.monitor];
    if (value === undefined) {
      throw new ValueError(`${this.where}: an epoch has no ${this.monitor}; it has ${Object.keys(record).join(", ")}`);
    }
    return value;
  }

  /** Takes `value` when it is better by more than `minDelta`. */
  improves(value: number, minDelta = 0): boolean {
    if (!(this.#sign * value < this.#sign * this.value - minDelta)) return false;
    this.value = value;
    return true;
  }
}

export interface CheckpointOptions extends Partial<MonitorOptions> {
  /** Also save every so many steps, for epochs that take long. */
  everySteps?: number;
}

/**
 * Saves the whole training in `folder`: `last.pt` after each epoch and on Ctrl-C, and, when a figure is monitored,
 * `best.pt` whenever it improves. Files are written whole, so a crash leaves the one before.
 *
 * ```ts
 * import { Checkpoint } from "cresset/training";
 *
 * const checkpoint = new Checkpoint("runs/digits", { monitor: "valAccuracy", mode: "max" });
 * // later: trainer.fit(loader, { epochs: 10, resume: checkpoint.path })
 * ```
 *
 * Errors: ValueError when an epoch has no figure of that name.
 */
export class Checkpoint implements Callback {
  readonly last = true;
  /** The path of the newest state. */
  readonly path: string;
  /** The path of the best state. */
  readonly bestPath: string;
  readonly #best: Best | undefined;
  readonly #everySteps: number | undefined;

  constructor(folder: string, options: CheckpointOptions = {}) {
    const { everySteps } = options;
    if (everySteps !== undefined && !(Number.isSafeInteger(everySteps) && everySteps > 0)) {
      throw new ValueError(`Checkpoint: everySteps is ${everySteps}; it must be a whole number above 0`);
    }
    this.path = join(folder, "last.pt");
    this.bestPath = join(folder, "best.pt");
    this.#best = options.monitor === undefined ? undefined : new Best("Checkpoint", options);
    this.#everySteps = everySteps;
  }

  async onStepEnd(training: Training): Promise<void> {
    if (this.#everySteps !== undefined && training.steps % this.#everySteps === 0) await training.save(this.path);
  }

  async onEpochEnd(training: Training, record: EpochRecord): Promise<void> {
    const better = this.#best?.improves(this.#best.read(record));
    await training.save(this.path);
    if (better) await training.save(this.bestPath);
  }

  async onInterrupt(training: Training): Promise<void> {
    await training.save(this.path);
  }

  stateDict(): { best: number | null } {
    return { best: this.#best?.value ?? null };
  }

  loadStateDict({ best }: { best: number | null }): void {
    if (this.#best !== undefined && best !== null) this.#best.value = best;
  }
}

export interface EarlyStoppingOptions extends MonitorOptions {
  /** So many epochs without improvement are borne; 3 by default. */
  patience?: number;
  /** Less than this is no improvement. */
  minDelta?: number;
}

/**
 * Stops training when a figure no longer improves, or is NaN.
 *
 * ```ts
 * import { EarlyStopping } from "cresset/training";
 *
 * const stopping = new EarlyStopping({ monitor: "valLoss", patience: 2 });
 * ```
 *
 * Errors: ValueError when an epoch has no figure of that name.
 */
export class EarlyStopping implements Callback {
  readonly #best: Best;
  readonly #patience: number;
  readonly #minDelta: number;
  #waited = 0;

  constructor({ patience = 3, minDelta = 0, ...monitor }: EarlyStoppingOptions = {}) {
    if (!(Number.isSafeInteger(patience) && patience >= 0))
      throw new ValueError(`EarlyStopping: patience is ${patience}`);
    if (!(minDelta >= 0)) throw new ValueError(`EarlyStopping: minDelta is ${minDelta}; it must not be negative`);
    this.#best = new Best("EarlyStopping", monitor);
    this.#patience = patience;
    this.#minDelta = minDelta;
  }

  onEpochEnd(training: Training, record: EpochRecord): void {
    const value = this.#best.read(record);
    this.#waited = this.#best.improves(value, this.#minDelta) ? 0 : this.#waited + 1;
    if (Number.isNaN(value) || this.#waited > this.#patience) training.stop();
  }

  stateDict(): { best: number; waited: number } {
    return { best: this.#best.value, waited: this.#waited };
  }

  loadStateDict({ best, waited }: { best: number; waited: number }): void {
    this.#best.value = best;
    this.#waited = waited;
  }
}

/**
 * Writes the figures of every step to a CSV file (`step,loss,…`), whole, after each epoch and at the end. A resumed run goes
 * on in the same file.
 *
 * ```ts
 * import { CSVLogger } from "cresset/training";
 *
 * const log = new CSVLogger("runs/digits/history.csv");
 * ```
 */
export class CSVLogger implements Callback {
  readonly #path: string;
  #header = "step,loss";
  #rows: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  onFitStart({ steps }: Training): void {
    if (steps === 0 || this.#rows.length > 0 || !exists(this.#path)) return;
    const [header, ...rows] = new TextDecoder().decode(readFile(this.#path, 1 << 30)).split("\n");
    this.#header = header as string;
    // What an interrupted run wrote after the checkpoint that is resumed is trained again.
    this.#rows = rows.filter((row) => row !== "" && Number.parseInt(row, 10) <= steps);
  }

  onStepEnd({ steps }: Training, figures: StepFigures): void {
    if (this.#rows.length === 0) this.#header = ["step", ...Object.keys(figures)].join(",");
    const values = Object.values(figures).map((value) => Number(value.toPrecision(7)));
    this.#rows.push([steps, ...values].join(","));
  }

  onEpochEnd(): void {
    this.#write();
  }

  onFitEnd(): void {
    this.#write();
  }

  #write(): void {
    writeFileAtomic(this.#path, `${this.#header}\n${this.#rows.map((row) => `${row}\n`).join("")}`);
  }
}

/** Writes the figures of every step and of each epoch for TensorBoard. The writer is closed at the end. */
export class TensorBoardLogger implements Callback {
  readonly #writer: SummaryWriter;

  constructor(writer: SummaryWriter) {
    this.#writer = writer;
  }

  onStepEnd({ steps }: Training, figures: StepFigures): void {
    for (const [name, value] of Object.entries(figures)) this.#writer.addScalar(`step/${name}`, value, steps);
  }

  onEpochEnd(_training: Training, { epoch, ...figures }: EpochRecord): void {
    for (const [name, value] of Object.entries(figures)) this.#writer.addScalar(`epoch/${name}`, value, epoch);
  }

  onFitEnd(): void {
    this.#writer.close();
  }
}

/** A bar for each epoch, with the epoch's figures so far; see `progress` for where it is drawn. */
export class ShowProgress implements Callback {
  readonly #options: ProgressOptions;
  #bar: ProgressBar | undefined;

  constructor(options: Omit<ProgressOptions, "total" | "initial" | "description"> = {}) {
    this.#options = options;
  }

  onEpochStart(training: Training): void {
    this.#begin(training);
  }

  onStepEnd(training: Training): void {
    // A resumed epoch has no start, and this step is where it goes on.
    if (this.#bar === undefined) this.#begin(training);
    else this.#bar.update();
    this.#bar?.postfix(training.figures());
  }

  onEpochEnd(_training: Training, { epoch: _, lr: __, ...figures }: EpochRecord): void {
    this.#bar?.postfix(figures);
    this.onFitEnd();
  }

  onInterrupt(): void {
    this.onFitEnd();
  }

  onFitEnd(): void {
    this.#bar?.close();
    this.#bar = undefined;
  }

  #begin({ epoch, epochs, batch, batches }: Training): void {
    const description = `epoch ${epoch + 1}/${epochs}`;
    this.#bar = new ProgressBar({ ...this.#options, description, total: batches, initial: batch });
  }
}
