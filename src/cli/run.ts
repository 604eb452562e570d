/**
 * What `cresset mnist` and `cresset gan` have in common: a run in a folder, from its settings to its last checkpoint, and going
 * on with one. Epochs, steps and exact resuming are the trainer's (`cresset/training`); what is learnt is the command's.
 */
import { join } from "node:path";
import { md5 } from "#files";
import { exitCodeOf } from "#terminal";
import { DataLoader } from "../data/index.js";
import { DataError, ValueError } from "../errors.js";
import { cpuEngineName, manualSeed, setDefaultDevice, type Tensor } from "../index.js";
import {
  type Callback,
  Checkpoint,
  CSVLogger,
  ShowProgress,
  Trainer,
  type TrainerOptions,
  type Training,
} from "../training/index.js";
import type { LabelledImages } from "../vision/index.js";
import { again, count, result, say } from "./output.js";
import { type CompleteOptions, newRunFolder, type RunSettings, type SavedRun, saveSummary } from "./run-folder.js";
import { findImages, type ImageSource } from "./source.js";

type Batch = [images: Tensor, labels: Tensor];

/** A run before it begins. */
export interface RunPlan {
  readonly folder: string;
  readonly settings: RunSettings;
  readonly source: ImageSource;
  readonly images: LabelledImages;
  /** What the folder's run was, when it is gone on with. */
  readonly saved: SavedRun | undefined;
}

/** Finds the images and settles the rest; device and seed hold from then on, for the model that the command builds next. */
export async function planRun(
  kind: Pick<RunSettings, "command" | "model">,
  options: CompleteOptions,
  saved: SavedRun | undefined,
): Promise<RunPlan> {
  setDefaultDevice(options.device);
  manualSeed(options.seed);
  const source = await findImages(options.dataset, options.data, (line) => say("data", line));
  const images = source.open(true);
  const { epochs, batch, lr, seed } = options;
  const settings: RunSettings = {
    ...kind,
    dataset: source.name,
    origin: source.origin,
    trainImages: images.length,
    imagesDigest: digestOf(images),
    epochs,
    batch,
    lr,
    seed,
    device: String(options.device),
    started: saved?.started ?? new Date().toISOString(),
  };
  return { folder: options.resume ?? options.out ?? newRunFolder(kind.command), settings, source, images, saved };
}

/** A fingerprint of a data set: all its labels and its first hundred images. */
function digestOf(images: LabelledImages): string {
  const first = Array.from({ length: Math.min(100, images.length) }, (_, i) => images.pixelsOf(i));
  const labels = Uint8Array.from({ length: images.length }, (_, i) => images.labelOf(i));
  return md5(Buffer.concat([labels, ...first]));
}

/** "5 × 60,000 images, 32 a step, Adam, lr 0.001, seed 0, on cpu (native)". */
export function inWords(settings: RunSettings, optimiserName: string): string {
  const { epochs, trainImages, batch, lr, seed, device } = settings;
  const engine = device === "cpu" ? ` (${cpuEngineName()})` : "";
  return `${epochs} × ${count(trainImages)} images, ${batch} a step, ${optimiserName}, lr ${lr}, seed ${seed}, on ${device}${engine}`;
}

/** What learns, how, and what is left behind meanwhile; the rest of the trainer's options are the run's. */
export type Learner = Pick<TrainerOptions<Batch>, "model" | "optimiser" | "step" | "manual" | "callbacks">;

export interface Outcome {
  interrupted: boolean;
  steps: number;
  seconds: number;
  imagesPerSecond: number;
  history: Trainer<Batch>["history"];
}

/** A run from its first checkpoint to its last. */
export class Run {
  readonly #plan: RunPlan;
  readonly #trainer: Trainer<Batch>;
  readonly #clock = new Clock();
  readonly #checkpoint: Checkpoint;

  private constructor(plan: RunPlan, learner: Learner) {
    this.#plan = plan;
    this.#checkpoint = new Checkpoint(plan.folder);
    this.#trainer = new Trainer<Batch>({
      ...learner,
      compile: true,
      callbacks: [
        new ShowProgress({ unit: "steps", print: (line) => process.stderr.write(`${line}\n`) }),
        ...(learner.callbacks ?? []),
        new CSVLogger(join(plan.folder, "history.csv")),
        this.#clock,
        this.#checkpoint,
      ],
    });
  }

  /**
   * Writes the settings and a first checkpoint, or takes the last one up. So a folder that cannot be written is known before
   * the work, and a run that is killed can be gone on with from the start.
   */
  static async begin(plan: RunPlan, learner: Learner): Promise<Run> {
    const run = new Run(plan, learner);
    const { folder, saved, settings } = plan;
    if (saved !== undefined) {
      if (saved.imagesDigest !== settings.imagesDigest)
        throw new DataError(`${settings.origin}: these are not the images that the run in ${folder} was begun with`);
      await run.#trainer.load(run.#checkpoint.path);
      run.#refuseFinished(saved);
    }
    saveSummary(folder, settings);
    if (saved === undefined) await run.#trainer.save(run.#checkpoint.path);
    else say("resumed", `${folder}, after ${count(run.#trainer.steps)} steps`);
    return run;
  }

  #refuseFinished({ finished }: SavedRun): void {
    const { folder, settings } = this.#plan;
    const { epoch, batch } = this.#trainer;
    // Whole epochs that were never tested are no reason to refuse: that is what is still to be done.
    if (settings.epochs > epoch || (settings.epochs === epoch && batch === 0 && !finished)) return;
    const more = again([settings.command, "--resume", folder, "--epochs", String(epoch + 1)]);
    throw new ValueError(
      `${folder}: this run has ${epoch} epochs${batch > 0 ? " and a part of the next" : ""}, and ${settings.epochs} are asked for; to go on: ${more}`,
    );
  }

  /** Trains until there are as many epochs as the settings say, or until Ctrl-C. Every epoch leaves a checkpoint, and Ctrl-C does. */
  async train(): Promise<Outcome> {
    const { images, settings } = this.#plan;
    const trainer = this.#trainer;
    const loader = new DataLoader(images, { batchSize: settings.batch, shuffle: true });
    await trainer.fit(loader as AsyncIterable<Batch>, { epochs: settings.epochs });
    return {
      interrupted: trainer.interrupted,
      steps: trainer.steps,
      seconds: Number(this.#clock.seconds.toFixed(3)),
      imagesPerSecond: Math.round(settings.batch * this.#clock.stepsPerSecond),
      history: trainer.history,
    };
  }

  /** Leaves the summary of a run that is done, and prints it. */
  finish(outcome: Outcome, tested: object = {}, printed: object = {}): void {
    this.#leave({ ...outcome, ...tested, finished: new Date().toISOString() }, printed);
  }

  /** The same after Ctrl-C, and says how to go on. The exit code. */
  stopped(outcome: Outcome): number {
    this.#leave(outcome);
    const { folder, settings } = this.#plan;
    const more = again([settings.command, "--resume", folder]);
    say("stopped", `after ${count(outcome.steps)} steps, all saved in ${folder}; to go on: ${more}`);
    return exitCodeOf(this.#trainer.stoppedBy ?? "SIGINT");
  }

  #leave(facts: object, printed: object = {}): void {
    const { folder, settings } = this.#plan;
    const summary = { ...settings, ...facts };
    saveSummary(folder, summary);
    result({ folder, ...summary, ...printed });
  }
}

/** How long training took, all parts of a resumed run together, and how fast this part was. */
class Clock implements Callback {
  #before = 0;
  #start: number | undefined;
  #end: number | undefined;
  /** The first step compiles, so speed is measured from its end. */
  #first: { at: number; steps: number } | undefined;
  #steps = 0;

  get seconds(): number {
    return this.#before + (this.#start === undefined ? 0 : ((this.#end ?? performance.now()) - this.#start) / 1000);
  }

  /** Of this part; 0 where it had a single step or none. */
  get stepsPerSecond(): number {
    if (this.#first === undefined || this.#steps === this.#first.steps) return 0;
    return (this.#steps - this.#first.steps) / (((this.#end ?? performance.now()) - this.#first.at) / 1000);
  }

  onFitStart(): void {
    this.#start = performance.now();
  }

  onStepEnd({ steps }: Training): void {
    this.#steps = steps;
    this.#first ??= { at: performance.now(), steps };
  }

  onFitEnd(): void {
    this.#end = performance.now();
  }

  stateDict(): { seconds: number } {
    return { seconds: this.seconds };
  }

  loadStateDict({ seconds }: { seconds: number }): void {
    this.#before = seconds;
  }
}
