/** The trainer: its figures, its callbacks, and a run that is interrupted and resumed against one that is not. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DataError, Generator, manualSeed, nn, optim, StateDictError, type Tensor, tensor } from "cresset";
import { DataLoader, TensorDataset } from "cresset/data";
import { saveFile } from "cresset/io";
import {
  type Callback,
  Checkpoint,
  CSVLogger,
  EarlyStopping,
  ShowProgress,
  Trainer,
  type Training,
} from "cresset/training";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";

type Batch = [Tensor, Tensor];

/** y = 2x on eight points, a model of one weight that starts at 0. */
function line(extra: Partial<ConstructorParameters<typeof Trainer<Batch>>[0]> = {}, lr = 0.1) {
  const x = tensor([1, 2, 3, 4, 5, 6, 7, 8]).reshape(8, 1).div(8);
  const data = new TensorDataset(x, x.mul(2));
  const model = new nn.Linear(1, 1, { bias: false });
  model.loadStateDict({ weight: tensor([[0]]) });
  const optimiser = new optim.SGD(model.parameters(), { lr });
  const step = ([input, target]: Batch) => nn.functional.mseLoss(model.forward(input), target);
  const trainer = new Trainer<Batch>({ model, optimiser, step, ...extra });
  const loader = (batchSize = 4) => new DataLoader(data, { batchSize }) as unknown as Iterable<Batch>;
  return { trainer, model, optimiser, loader, data };
}

/** The same by hand: the loss of each epoch, weighted by the sizes of batches. */
function byHand(epochs: number, batchSize: number, lr = 0.1): { losses: number[]; weight: number } {
  const { model, optimiser, loader } = line({}, lr);
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    let sum = 0;
    for (const [input, target] of loader(batchSize)) {
      const loss = nn.functional.mseLoss(model.forward(input), target);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      sum += loss.item() * (input.shape[0] as number);
    }
    losses.push(sum / 8);
  }
  return { losses, weight: model.weight.item() };
}

describe("Trainer", () => {
  it.each([false, true])("does what the loop by hand does (compile: %s)", async (compile) => {
    const { trainer, model, loader } = line({ compile });
    const history = await trainer.fit(loader(3), { epochs: 4 });
    const { losses, weight } = byHand(4, 3);
    expect(history.map(({ epoch, lr }) => [epoch, lr])).toEqual([
      [1, 0.1],
      [2, 0.1],
      [3, 0.1],
      [4, 0.1],
    ]);
    for (const [i, loss] of losses.entries()) expect(history[i]?.loss).toBeCloseTo(loss, 6);
    expect(model.weight.item()).toBeCloseTo(weight, 6);
    expect(trainer.steps).toBe(12);
  });

  it.each([false, true])("clips gradients between backward and the step (compile: %s)", async (compile) => {
    const expected = (() => {
      const { model, optimiser, loader } = line();
      for (const [input, target] of loader(3)) {
        const loss = nn.functional.mseLoss(model.forward(input), target);
        optimiser.zeroGrad();
        loss.backward();
        nn.utils.clipGradValue_(model.parameters(), 0.9);
        nn.utils.clipGradNorm_(model.parameters(), 0.5, { normType: 1 });
        optimiser.step();
      }
      return model.weight.item();
    })();
    const { trainer, model, loader } = line({
      compile,
      clipGradValue: 0.9,
      clipGradNorm: { maxNorm: 0.5, normType: 1 },
    });
    await trainer.fit(loader(3), { epochs: 1 });
    expect(model.weight.item()).toBe(expected);
    const short = line({ compile, clipGradNorm: 0.1 });
    await short.trainer.fit(short.loader(8), { epochs: 1 });
    expect(short.model.weight.item()).toBeCloseTo(0.1 * 0.1, 6);
    expect(() => line({ clipGradNorm: -1 })).toThrow("Trainer: clipGradNorm is -1; it must be 0 or more");
    expect(() => line({ clipGradValue: Number.NaN })).toThrow("Trainer: clipGradValue is NaN");
    expect(() => line({ manual: true, clipGradNorm: 1 })).toThrow("a manual step clips for itself");
  });

  it("validates in evaluation mode, without gradients, and puts the mode back", async () => {
    const modes: boolean[] = [];
    const { trainer, model, loader } = line({
      validationStep: ([x, y]) => {
        modes.push(model.training);
        const loss = nn.functional.mseLoss(model.forward(x), y);
        expect(loss.requiresGrad).toBe(false);
        return { loss, tenfold: loss.mul(10), one: 1 };
      },
    });
    const [record] = await trainer.fit(loader(), { epochs: 1, validation: loader(8) });
    expect(modes).toEqual([false]);
    expect(model.training).toBe(true);
    expect(record?.["valTenfold"]).toBeCloseTo(10 * (record?.["valLoss"] as number), 5);
    expect(record?.["valOne"]).toBe(1);
  });

  it("leaves backward and the optimisers to a step that is manual, and logs all its figures", async () => {
    const path = join(temporaryFolder(), "history.csv");
    const { model, optimiser, loader } = line();
    const step = ([x, y]: Batch) => {
      const loss = nn.functional.mseLoss(model.forward(x), y);
      optimiser.zeroGrad();
      loss.backward();
      optimiser.step();
      return { loss, twice: loss.detach().mul(2) };
    };
    const trainer = new Trainer<Batch>({
      model,
      optimiser,
      manual: true,
      compile: true,
      step,
      callbacks: [new CSVLogger(path)],
    });
    await trainer.fit(loader(3), { epochs: 4 });
    expect(model.weight.item()).toBeCloseTo(byHand(4, 3).weight, 6);
    const [header, row] = readFileSync(path, "utf8").split("\n");
    expect(header).toBe("step,loss,twice");
    const [, loss, twice] = (row as string).split(",").map(Number);
    expect(twice).toBeCloseTo(2 * (loss as number), 5);
  });

  it("runs schedules by the epoch and by the step, and records the rate that was in force", async () => {
    const { model, loader } = line();
    const optimiser = new optim.SGD(model.parameters(), { lr: 1 });
    const trainer = new Trainer<Batch>({
      model,
      optimiser,
      step: ([x, y]) => nn.functional.mseLoss(model.forward(x), y),
      schedules: [new optim.lrScheduler.ExponentialLR(optimiser, { gamma: 0.5 })],
    });
    expect((await trainer.fit(loader(8), { epochs: 3 })).map(({ lr }) => lr)).toEqual([1, 0.5, 0.25]);
  });

  it("tells callbacks in order, those that are last after the others", async () => {
    const told: string[] = [];
    const named = (name: string, last: boolean): Callback => ({
      last,
      onFitStart: () => void told.push(`${name} start`),
      onEpochStart: async () => void told.push(`${name} epoch`),
      onStepEnd: ({ steps }) => void told.push(`${name} ${steps}`),
      onEpochEnd: () => void told.push(`${name} done`),
      onFitEnd: () => void told.push(`${name} end`),
    });
    const { trainer, loader } = line({ callbacks: [named("b", true), named("a", false)] });
    await trainer.fit(loader(4), { epochs: 1 });
    const each = ["start", "epoch", "1", "2", "done", "end"];
    expect(told).toEqual(each.flatMap((what) => [`a ${what}`, `b ${what}`]));
  });

  it("stops early, and saves the best", async () => {
    const folder = temporaryFolder();
    let epoch = 0;
    const figures = [3, 2, 2.5, 1, 4, 5, 6];
    const checkpoint = new Checkpoint(folder, { monitor: "valScore" });
    const { trainer, model, loader } = line({
      callbacks: [new EarlyStopping({ monitor: "valScore", patience: 1 }), checkpoint],
      validationStep: ([x, y]) => ({
        loss: nn.functional.mseLoss(model.forward(x), y),
        score: figures[epoch++] as number,
      }),
    });
    await trainer.fit(loader(8), { epochs: 7, validation: loader(8) });
    expect(trainer.epoch).toBe(6);
    const best = line({ callbacks: [new EarlyStopping(), new Checkpoint(folder)] });
    await best.trainer.load(checkpoint.bestPath);
    expect(best.trainer.epoch).toBe(4);
  });

  it("NaN stops early, and a figure that is not there is named", async () => {
    const callbacks = [new EarlyStopping({ monitor: "loss" })];
    const { trainer, loader } = line({
      callbacks,
      step: ([x]) => tensor([0], { requiresGrad: true }).mul(x.sum()).div(0).sum(),
    });
    expect((await trainer.fit(loader(), { epochs: 3 })).length).toBe(1);
    const other = line({ callbacks: [new EarlyStopping({ monitor: "valLos" })] });
    await expect(other.trainer.fit(other.loader(), { epochs: 3 })).rejects.toThrow(
      "an epoch has no valLos; it has epoch, loss, lr",
    );
  });

  it("writes history.csv, and a resumed run goes on in it", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "history.csv");
    const callbacks = () => [new CSVLogger(path), new Checkpoint(folder, { everySteps: 3 })];
    const whole = line({ callbacks: callbacks() });
    await whole.trainer.fit(whole.loader(), { epochs: 4 });
    const expected = readFileSync(path, "utf8");
    expect(expected.split("\n").slice(0, 2)).toEqual(["step,loss", expect.stringMatching(/^1,0?\.?\d+/)]);
    const first = line({ callbacks: callbacks() });
    await first.trainer.fit(first.loader(), { epochs: 2 });
    writeFileSync(path, `${readFileSync(path, "utf8")}5,1\n6,1\n`); // steps after the checkpoint
    const second = line({ callbacks: callbacks() });
    await second.trainer.fit(second.loader(), { epochs: 4, resume: join(folder, "last.pt") });
    expect(readFileSync(path, "utf8")).toBe(expected);
  });

  it("stops after the step in which Ctrl-C or the signal came, and goes on in the same epoch", async () => {
    const control = new AbortController();
    const abort: Callback = { onStepEnd: ({ steps }: Training) => void (steps === 3 && control.abort()) };
    const { trainer, model, loader } = line({ callbacks: [abort] });
    await trainer.fit(loader(2), { epochs: 2, signal: control.signal });
    expect([trainer.interrupted, trainer.steps, trainer.epoch, trainer.batch]).toEqual([true, 3, 0, 3]);
    await trainer.fit(loader(2), { epochs: 2 });
    expect([trainer.interrupted, trainer.steps]).toEqual([false, 8]);
    expect(model.weight.item()).toBeCloseTo(byHand(2, 2).weight, 6);
    const sigint: Callback = { onStepEnd: () => void process.emit("SIGINT") };
    const other = line({ callbacks: [sigint] });
    await other.trainer.fit(other.loader(2), { epochs: 2 });
    expect([other.trainer.interrupted, other.trainer.steps]).toEqual([true, 1]);
    expect(process.listenerCount("SIGINT")).toBe(0);
  });

  it("refuses what is no training state, leaving the model as it was", async () => {
    const folder = temporaryFolder();
    const { trainer, model, loader } = line({ generators: { own: new Generator() } });
    await trainer.fit(loader(), { epochs: 1 });
    const before = model.weight.item();
    const weights = join(folder, "weights.pt");
    saveFile(model.stateDict(), weights);
    await expect(trainer.load(weights)).rejects.toThrow("this is no training state");
    await expect(trainer.load(join(folder, "absent"))).rejects.toThrow(DataError);
    const other = line({ callbacks: [new EarlyStopping()] });
    const state = join(folder, "state.pt");
    await other.trainer.save(state);
    await expect(trainer.load(state)).rejects.toThrow(
      new StateDictError("Trainer.load: the state has 1 callbacks, this trainer 0"),
    );
    const noGenerator = line();
    await noGenerator.trainer.save(state);
    await expect(trainer.load(state)).rejects.toThrow("the state has no generator own");
    const layers = line({ generators: { own: new Generator() } });
    const optimiser = new optim.SGD(
      [{ params: layers.model.parameters() }, { params: [tensor([1], { requiresGrad: true })] }],
      { lr: 1 },
    );
    const step = ([x, y]: Batch) => nn.functional.mseLoss(layers.model.forward(x), y);
    await new Trainer<Batch>({ model: layers.model, optimiser, step, generators: { own: new Generator() } }).save(
      state,
    );
    await expect(trainer.load(state)).rejects.toThrow("SGD.loadStateDict: the groups have 1, 1 parameters");
    expect(model.weight.item()).toBe(before);
  });

  it("says what a step and a loader must give", async () => {
    const { trainer } = line({ step: (() => 3) as never });
    await expect(trainer.fit([[tensor([1]), tensor([1])]], { epochs: 1 })).rejects.toThrow("step must give the loss");
    await expect(trainer.fit([], { epochs: 1 })).rejects.toThrow("the loader gave no batch");
    await expect(trainer.fit([], { epochs: -1 })).rejects.toThrow("epochs is -1");
    await expect(trainer.fit(3 as never, { epochs: 1 })).rejects.toThrow(
      "Trainer.fit: loader is 3; it must be something to iterate",
    );
    const sound = line();
    const once = (function* () {
      yield* sound.loader();
    })();
    await expect(sound.trainer.fit(once, { epochs: 2 })).rejects.toThrow("a generator gives its own once only");
    const untested = line();
    await expect(untested.trainer.fit(untested.loader(), { epochs: 1, validation: [] })).rejects.toThrow(
      "Trainer.validate: there is no batch",
    );
    expect(() => line({ step: undefined as never })).toThrow("Trainer: step is undefined; it must be a function");
    expect(() => line({ model: {} as never })).toThrow("Trainer: model.forward is undefined; it must be a function");
    const schedule = new optim.lrScheduler.ExponentialLR(
      new optim.SGD([tensor([1], { requiresGrad: true })], { lr: 1 }),
      {
        gamma: 0.5,
      },
    );
    expect(() => line({ schedules: [{ schedule, every: "steps" as never }] })).toThrow(
      'every "steps"; it is step or epoch',
    );
  });

  it("tells every callback of the end, and throws what failed first", async () => {
    const ended: string[] = [];
    const failing = (name: string): Callback => ({
      onFitEnd: () => {
        ended.push(name);
        throw new Error(name);
      },
    });
    const { trainer, loader } = line({ callbacks: [failing("a"), failing("b")] });
    await expect(trainer.fit(loader(), { epochs: 1 })).rejects.toThrow("a");
    const broken = line({
      callbacks: [failing("c")],
      step: () => {
        throw new Error("the step");
      },
    });
    await expect(broken.trainer.fit(broken.loader(), { epochs: 1 })).rejects.toThrow("the step");
    expect(ended).toEqual(["a", "b", "c"]);
    expect(process.listenerCount("SIGINT") + process.listenerCount("SIGTERM")).toBe(0);
  });

  it("without a terminal a bar is silent, or prints plain lines", async () => {
    const lines: string[] = [];
    const { trainer, loader } = line({ callbacks: [new ShowProgress({ print: (text) => lines.push(text) })] });
    await trainer.fit(loader(2), { epochs: 2 });
    expect(lines).toEqual([
      expect.stringMatching(/^epoch 1\/2 100 % {2}4\/4 {2}[\d.,]+ it\/s {2}0:00 left {2}loss [\d.]+$/),
      expect.stringMatching(/^epoch 2\/2 100 % /),
    ]);
    lines.length = 0;
    const control = new AbortController();
    const abort: Callback = { onStepEnd: ({ steps }) => void (steps === 3 && control.abort()) };
    const parts = line({ callbacks: [abort, new ShowProgress({ print: (text) => lines.push(text) })] });
    await parts.trainer.fit(parts.loader(2), { epochs: 1, signal: control.signal });
    await parts.trainer.fit(parts.loader(2), { epochs: 1 });
    // The second has a single step, the one that it begins with: there is no speed to tell.
    expect(lines).toEqual([
      expect.stringMatching(/^epoch 1\/1 75 % {2}3\/4 {2}[\d.,]+ it\/s /),
      expect.stringMatching(/^epoch 1\/1 100 % {2}4\/4 {2}… it\/s {2}loss /),
    ]);
  });
});

describe("a training in a process of its own", { timeout: 120_000 }, () => {
  const script = fileURLToPath(new URL("interrupted.mjs", import.meta.url));

  /** Runs it, and sends Ctrl-C when `steps` steps are printed. */
  function train(folder: string, steps = Number.POSITIVE_INFINITY): Promise<string[]> {
    const pause = steps === Number.POSITIVE_INFINITY ? "0" : "5";
    const child = spawn(process.execPath, [script, folder, "4"], { env: { ...process.env, PAUSE: pause } });
    let out = "";
    let err = "";
    let sent = false;
    child.stderr.on("data", (text) => {
      err += text;
    });
    child.stdout.on("data", (text) => {
      out += text;
      if (sent || out.split("\n").length <= steps) return;
      sent = true;
      child.kill("SIGINT");
    });
    return new Promise((resolve, reject) =>
      child.on("close", (code) => (code === 0 ? resolve(out.trim().split("\n")) : reject(new Error(err)))),
    );
  }

  it("is interrupted twice and gives the losses of one that is not", async () => {
    const whole = await train(temporaryFolder());
    expect(whole.length).toBe(4 * 8 + 1);
    const folder = temporaryFolder();
    const first = await train(folder, 3);
    const second = await train(folder, 9);
    const third = await train(folder);
    expect([first.at(-1), second.at(-1)]).toEqual(["interrupted", "interrupted"]);
    expect(existsSync(join(folder, "last.pt"))).toBe(true);
    expect([...first.slice(0, -1), ...second.slice(0, -1), ...third]).toEqual(whole);
  });
});

it("the seed alone decides", async () => {
  const run = async () => {
    manualSeed(3);
    const { trainer, data } = line();
    const loader = new DataLoader(data, { batchSize: 2, shuffle: true });
    return trainer.fit(loader as unknown as Iterable<Batch>, { epochs: 2 });
  };
  expect(await run()).toEqual(await run());
});
