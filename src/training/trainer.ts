/**
 * The training loop that everybody writes, once: epochs, batches, loss, backward, step; validation; Ctrl-C; and a state that
 * can be saved and taken up again at the very step. What happens around it (checkpoints, early stopping, logs) is left to
 * callbacks, what happens in a step to the function given. Nothing in cresset needs it: a plain loop does the same.
 */
import { onInterrupt, type StopSignal } from "#terminal";
import { refuseArgument } from "../arguments.js";
import { compile } from "../compile/compile.js";
import { StateDictError, ValueError } from "../errors.js";
import { load, save } from "../io/checkpoint.js";
import type { Module } from "../nn/index.js";
import { defaultGenerator, type Generator, noGrad, type Tensor } from "../tensor/index.js";
import type { Callback, Training } from "./callbacks.js";
import { type ClippingOptions, clipping } from "./clipping.js";
import { lengthOf, lossOf, type StepResult, Sums, sizeOf } from "./figures.js";

/** What the trainer needs of an optimiser. */
export interface Trainable {
  readonly paramGroups: { lr: number }[];
  zeroGrad(): void;
  step(): unknown;
  stateDict(): object;
  loadStateDict(state: never): void;
}

/** What the trainer needs of a schedule. */
export interface Schedule {
  step(): void;
  stateDict(): object;
  loadStateDict(state: never): void;
}

export interface TrainerOptions<Batch> extends ClippingOptions {
  model: Module;
  optimiser: Trainable;
  /** From a batch to its loss. Gradients and the optimiser's step are the trainer's. */
  step: (batch: Batch) => StepResult;
  /** The same for a batch of validation, without gradients and in evaluation mode; by default `step`. */
  validationStep?: (batch: Batch) => StepResult;
  /** Learning-rate schedules; each takes a step at the end of an epoch, or of every step. */
  schedules?: readonly (Schedule | { schedule: Schedule; every: "step" | "epoch" })[];
  callbacks?: readonly Callback[];
  /** Generators of your own that training draws from: a loader's, for instance. Their states go into checkpoints. */
  generators?: Readonly<Record<string, Generator>>;
  /** The step runs backward and the optimisers itself: a GAN has two. The trainer only counts, saves and stops. */
  manual?: boolean;
  /** Record the whole step with `torch.compile` and replay it. Batches must then be tensors, or arrays and objects of them. */
  compile?: boolean;
}

export interface FitOptions<Batch> {
  /** How many epochs there shall be in all, those of a resumed run included. */
  epochs: number;
  /** Batches for validation after each epoch. Figures get the prefix `val`: `valLoss`. */
  validation?: Iterable<Batch> | AsyncIterable<Batch> | undefined;
  /** A checkpoint to go on from. */
  resume?: string | undefined;
  /** Stops like Ctrl-C. */
  signal?: AbortSignal | undefined;
}

/** The figures of an epoch: `epoch` (from 1), `loss`, `lr`, what the step gave, and the same of validation. */
export type EpochRecord = { epoch: number; loss: number; lr: number } & Record<string, number>;

interface GeneratorStates {
  readonly [name: string]: { seed: number; position: number };
}

/**
 * Trains a model. Ctrl-C (or SIGTERM, or the signal given, or `stop()`) finishes the step; callbacks then save, and `fit` returns with
 * `interrupted` true. A second Ctrl-C ends the process.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn, optim } from "cresset";
 * import { DataLoader, TensorDataset } from "cresset/data";
 * import { Checkpoint, Trainer } from "cresset/training";
 *
 * const data = new TensorDataset(torch.rand([64, 4]), torch.rand([64, 1]));
 * const model = new nn.Linear(4, 1);
 * const trainer = new Trainer({
 *   model,
 *   optimiser: new optim.Adam(model.parameters(), { lr: 0.01 }),
 *   step: ([x, y]: [torch.Tensor, torch.Tensor]) => nn.functional.mseLoss(model.forward(x), y),
 *   callbacks: [new Checkpoint("runs/linear")],
 * });
 * const history = await trainer.fit(new DataLoader(data, { batchSize: 16, shuffle: true }), { epochs: 3 });
 * console.log(history.at(-1)); // { epoch: 3, loss: 0.1…, lr: 0.01 }
 * ```
 *
 * A resumed run gives the losses of one that was never interrupted: model, optimiser, schedules, random streams and the
 * place in the epoch are in the checkpoint. The batches already trained on are drawn again and passed over, so that the order
 * and the chance in them are the same.
 *
 * Errors: ValueError for a number of epochs that is none and a step without a loss; StateDictError for a checkpoint of
 * another model.
 */
export class Trainer<Batch> implements Training {
  readonly model: Module;
  readonly optimiser: Trainable;
  /** Whole epochs done. */
  epoch = 0;
  /** Batches of the present epoch done. */
  batch = 0;
  /** Steps taken in all. */
  steps = 0;
  /** The figures of each whole epoch. */
  readonly history: EpochRecord[] = [];
  /** How many batches an epoch has, where the loader says so. */
  batches: number | undefined;
  /** How many epochs there shall be. */
  epochs = 0;
  /** True when `fit` was ended by Ctrl-C, SIGTERM or its signal. */
  interrupted = false;
  /** The process's signal that ended `fit`. */
  stoppedBy: StopSignal | undefined;
  readonly #options: TrainerOptions<Batch>;
  readonly #schedules: readonly { schedule: Schedule; every: "step" | "epoch" }[];
  readonly #callbacks: readonly Callback[];
  /** The same in the order in which they are called. */
  readonly #called: readonly Callback[];
  readonly #generators: Readonly<Record<string, Generator>>;
  readonly #train: (batch: Batch) => StepResult;
  #sums = new Sums();
  #stopping = false;
  /** Where the random streams stood when the epoch began, and, after `load`, where they shall go on. */
  #atEpochStart: GeneratorStates | undefined;
  #goOn: GeneratorStates | undefined;

  constructor(options: TrainerOptions<Batch>) {
    const parts = {
      step: options.step,
      "model.forward": options.model?.forward,
      "optimiser.step": options.optimiser?.step,
    };
    for (const [name, given] of Object.entries(parts))
      if (typeof given !== "function") refuseArgument("Trainer", name, given, "a function");
    this.#options = options;
    this.model = options.model;
    this.optimiser = options.optimiser;
    this.#callbacks = options.callbacks ?? [];
    this.#called = [...this.#callbacks].sort((a, b) => Number(a.last ?? false) - Number(b.last ?? false));
    this.#generators = { default: defaultGenerator(), ...options.generators };
    this.#schedules = (options.schedules ?? []).map((one) =>
      "schedule" in one ? one : { schedule: one, every: "epoch" },
    );
    for (const { every } of this.#schedules) {
      if (every !== "step" && every !== "epoch")
        throw new ValueError(`Trainer: a schedule has its step every "${every}"; it is step or epoch`);
    }
    const clip = clipping(options.model, options);
    const train = (batch: Batch): StepResult => {
      const result = options.step(batch);
      const loss = lossOf(result);
      this.optimiser.zeroGrad();
      loss.backward();
      clip();
      this.optimiser.step();
      return result;
    };
    const whole = options.manual ? options.step : train;
    this.#train = options.compile ? compile(whole) : whole;
  }

  /** Trains until there are `epochs` epochs, or until it is stopped. Resolves to the history. */
  async fit(
    loader: Iterable<Batch> | AsyncIterable<Batch>,
    { epochs, validation, resume, signal }: FitOptions<Batch>,
  ): Promise<EpochRecord[]> {
    if (!(Number.isSafeInteger(epochs) && epochs >= 0)) throw new ValueError(`Trainer.fit: epochs is ${epochs}`);
    if (
      !(typeof loader === "object" && loader !== null && (Symbol.iterator in loader || Symbol.asyncIterator in loader))
    )
      refuseArgument("Trainer.fit", "loader", loader, "something to iterate, such as a DataLoader");
    if (resume !== undefined) await this.load(resume);
    this.batches = lengthOf(loader);
    this.epochs = epochs;
    this.#stopping = false;
    this.interrupted = false;
    this.stoppedBy = undefined;
    const interrupt = (): void => {
      this.interrupted = true;
      this.#stopping = true;
    };
    const release = onInterrupt((by) => {
      this.stoppedBy = by;
      interrupt();
    });
    signal?.addEventListener("abort", interrupt);
    if (signal?.aborted) interrupt();
    const failures: unknown[] = [];
    try {
      await this.#tell("onFitStart");
      while (this.epoch < epochs && !this.#stopping) {
        await this.#trainEpoch(loader);
        if (this.#stopping) {
          // Stopped within the epoch; the place in it is kept.
          this.#goOn = this.#generatorStates();
          break;
        }
        await this.#endEpoch(validation);
      }
      if (this.interrupted) await this.#tell("onInterrupt");
    } catch (error) {
      failures.push(error);
    }
    release();
    signal?.removeEventListener("abort", interrupt);
    // All are told, so that files are closed whatever has failed; the first failure is the one that counts.
    for (const callback of this.#called) {
      try {
        await callback.onFitEnd?.(this);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return this.history;
  }

  /** Ends `fit` after the present step, or after the epoch when called at its end. */
  stop(): void {
    this.#stopping = true;
  }

  /** The figures of the present epoch so far. */
  figures(): Record<string, number> {
    return this.#sums.means();
  }

  async #trainEpoch(loader: Iterable<Batch> | AsyncIterable<Batch>): Promise<void> {
    this.model.train();
    if (this.batch === 0 || this.#atEpochStart === undefined) this.#atEpochStart = this.#generatorStates();
    else this.#setGenerators(this.#atEpochStart);
    let done = this.batch;
    if (done === 0) {
      this.#sums = new Sums();
      await this.#tell("onEpochStart");
    }
    // A plain iterable is taken by `for await` too, and the loader's own gives signals a chance to arrive.
    for await (const batch of loader as AsyncIterable<Batch>) {
      if (done > 0) {
        if (--done === 0 && this.#goOn !== undefined) this.#setGenerators(this.#goOn);
        continue;
      }
      const result = this.#train(batch);
      const figures = this.#sums.add(result, sizeOf(batch));
      for (const { schedule, every } of this.#schedules) if (every === "step") schedule.step();
      this.batch += 1;
      this.steps += 1;
      for (const callback of this.#called) await callback.onStepEnd?.(this, figures);
      if (this.#stopping) return;
    }
    if (this.batch === 0)
      throw new ValueError("Trainer.fit: the loader gave no batch; a generator gives its own once only");
  }

  async #endEpoch(validation: Iterable<Batch> | AsyncIterable<Batch> | undefined): Promise<void> {
    const { loss, ...rest } = this.#sums.means();
    const lr = this.optimiser.paramGroups[0]?.lr ?? Number.NaN;
    const validated = validation === undefined ? {} : await this.validate(validation);
    const record: EpochRecord = { epoch: this.epoch + 1, loss: loss as number, lr, ...rest, ...validated };
    for (const { schedule, every } of this.#schedules) if (every === "epoch") schedule.step();
    this.history.push(record);
    this.epoch += 1;
    this.batch = 0;
    for (const callback of this.#called) await callback.onEpochEnd?.(this, record);
  }

  /** The figures of some batches, without training: `{ valLoss, … }`. The model's mode is put back. */
  async validate(batches: Iterable<Batch> | AsyncIterable<Batch>): Promise<Record<string, number>> {
    const step = this.#options.validationStep ?? this.#options.step;
    const sums = new Sums();
    const modes = this.model.modules().map((module) => [module, module.training] as const);
    this.model.eval();
    try {
      for await (const batch of batches as AsyncIterable<Batch>) {
        sums.add(
          noGrad(() => step(batch)),
          sizeOf(batch),
        );
      }
    } finally {
      for (const [module, training] of modes) module.training = training;
    }
    if (Object.keys(sums.means()).length === 0)
      throw new ValueError("Trainer.validate: there is no batch; a generator gives its own once only");
    const named = Object.entries(sums.means()).map(([name, value]) => [
      `val${name[0]?.toUpperCase()}${name.slice(1)}`,
      value,
    ]);
    return Object.fromEntries(named);
  }

  /** Everything that `load` needs to go on from here, by `torch.save`: one .pt file, written whole. */
  async save(path: string): Promise<void> {
    await save(this.stateDict(), path);
  }

  /** Goes on from a file that `save` wrote. Errors: as `torch.load` and `loadStateDict`. */
  async load(path: string): Promise<void> {
    this.loadStateDict(await load(path));
  }

  stateDict(): object {
    const states = (parts: readonly { stateDict?(): object }[]) => parts.map((part) => part.stateDict?.() ?? null);
    return {
      version: 1,
      epoch: this.epoch,
      batch: this.batch,
      steps: this.steps,
      history: this.history.map((record) => ({ ...record })),
      sums: this.#sums.stateDict(),
      generators: { atEpochStart: this.#atEpochStart ?? null, now: this.#generatorStates() },
      schedules: states(this.#schedules.map(({ schedule }) => schedule)),
      callbacks: states(this.#callbacks),
      optimiser: this.optimiser.stateDict(),
      model: this.model.stateDict(),
    };
  }

  /** Takes over what `stateDict` gave. Throws StateDictError, with the model as it was, for a state of another training. */
  loadStateDict(given: unknown): void {
    const state = given as SavedState;
    const wrong = (what: string): never => {
      throw new StateDictError(`Trainer.load: ${what}`);
    };
    if (typeof state !== "object" || state === null || state.version !== 1) wrong("this is no training state");
    for (const name of ["epoch", "batch", "steps"] as const) {
      if (!(Number.isSafeInteger(state[name]) && state[name] >= 0)) wrong(`${name} is ${String(state[name])}`);
    }
    for (const [name, saved, own] of [
      ["schedules", state.schedules, this.#schedules],
      ["callbacks", state.callbacks, this.#callbacks],
    ] as const) {
      if (!Array.isArray(saved) || saved.length !== own.length) {
        wrong(`the state has ${Array.isArray(saved) ? saved.length : "no"} ${name}, this trainer ${own.length}`);
      }
    }
    if (!Array.isArray(state.history) || typeof state.generators?.now !== "object")
      wrong("history or generators are missing");
    const missing = Object.keys(this.#generators).filter((name) => !(name in state.generators.now));
    if (missing.length > 0) wrong(`the state has no generator ${missing.join(", ")}`);
    const before = Object.entries(this.model.stateDict()).map(([name, tensor]) => [name, tensor.clone()] as const);
    this.model.loadStateDict(state.model);
    try {
      this.optimiser.loadStateDict(state.optimiser as never);
    } catch (error) {
      this.model.loadStateDict(Object.fromEntries(before));
      throw error;
    }
    for (const [i, { schedule }] of this.#schedules.entries()) schedule.loadStateDict(state.schedules[i] as never);
    for (const [i, callback] of this.#callbacks.entries()) callback.loadStateDict?.(state.callbacks[i] as never);
    this.epoch = state.epoch;
    this.batch = state.batch;
    this.steps = state.steps;
    this.history.splice(0, this.history.length, ...state.history);
    this.#sums = new Sums(state.sums);
    this.#atEpochStart = state.generators.atEpochStart ?? undefined;
    this.#goOn = state.generators.now;
    this.#setGenerators(state.generators.now);
  }

  #generatorStates(): GeneratorStates {
    return Object.fromEntries(Object.entries(this.#generators).map(([name, one]) => [name, one.getState()]));
  }

  #setGenerators(states: GeneratorStates): void {
    for (const [name, generator] of Object.entries(this.#generators)) {
      const state = states[name];
      if (state !== undefined) generator.setState(state);
    }
  }

  async #tell(what: "onFitStart" | "onEpochStart" | "onInterrupt"): Promise<void> {
    for (const callback of this.#called) await callback[what]?.(this);
  }
}

/** What is in a checkpoint, as `loadStateDict` reads it once its outline is checked. */
interface SavedState {
  version: number;
  epoch: number;
  batch: number;
  steps: number;
  history: EpochRecord[];
  sums: Record<string, readonly [sum: number, weight: number]>;
  generators: { atEpochStart: GeneratorStates | null; now: GeneratorStates };
  schedules: object[];
  callbacks: object[];
  optimiser: object;
  model: Record<string, Tensor>;
}
