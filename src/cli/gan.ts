/**
 * `cresset gan`: the book's generator of handwritten digits, against its discriminator. The loop is the trainer's; the step is
 * the book's: the discriminator learns from real images and from made ones, and the generator through it.
 *
 * Source: Tariq Rashid, Make Your First GAN With PyTorch (2020)
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pc from "picocolors";
import { DataLoader } from "../data/index.js";
import { FormatError } from "../errors.js";
import {
  cpuEngineName,
  type DeviceLike,
  Generator,
  manualSeed,
  noGrad,
  randn,
  setDefaultDevice,
  type Tensor,
} from "../index.js";
import { type Callback, Checkpoint, CSVLogger, ShowProgress, Trainer } from "../training/index.js";
import { saveImage } from "../vision/index.js";
import { Adversaries, adversarial, noiseSize } from "./adversaries.js";
import { count, print, printJson, result, say } from "./output.js";
import { newRunFolder, saveSummary } from "./run-folder.js";
import { type DatasetName, findImages } from "./source.js";

export interface GanOptions {
  epochs: number;
  batch: number;
  lr: number;
  seed: number;
  data?: string;
  dataset: DatasetName;
  out?: string;
  /** The folder of a run to go on with; its settings stand. */
  resume?: string;
  json?: boolean;
  device: DeviceLike;
}

/** Images in the grid that each epoch leaves. */
const gridSide = 6;

/** Trains, and writes a grid of made images each epoch. The exit code: 0, or 130 after Ctrl-C. */
export async function gan(given: GanOptions): Promise<number> {
  printJson(given.json);
  const options = given.resume === undefined ? given : resumed(given, given.resume);
  setDefaultDevice(options.device);
  manualSeed(options.seed);
  const source = await findImages(options.dataset, options.data, (line) => say("data", line));
  const images = source.open(true);
  const folder = options.resume ?? options.out ?? newRunFolder("gan");
  say("data", `${source.name}, ${count(images.length)} images (${source.origin})`);
  say("generator", `${noiseSize} → 200 LeakyReLU(0.02), LayerNorm → 784 Sigmoid`);
  say("against", "784 → 200 LeakyReLU(0.02), LayerNorm → 1 Sigmoid, binary cross-entropy");
  const engine = options.device === "cpu" ? ` (${cpuEngineName()})` : "";
  say(
    "training",
    `${options.epochs} × ${count(images.length)} images, ${options.batch} a step, Adam, lr ${options.lr}, seed ${options.seed}, on ${options.device}${engine}`,
  );

  const { resume: _, out: __, json: ___, data, ...settings } = options;
  const described = { ...settings, device: String(options.device), data, source: source.name, origin: source.origin };
  saveSummary(folder, described);
  const model = new Adversaries();
  const noise = randn([gridSide ** 2, noiseSize], { generator: new Generator().manualSeed(options.seed) });
  const draw = (name: string): Promise<void> =>
    saveImage(noGrad(() => model.forward(noise)).reshape(-1, 1, 28, 28), join(folder, `${name}.png`), {
      nrow: gridSide,
    });
  // Written now too: what images need is then known before the work, not after.
  if (options.resume === undefined) await draw("epoch-0");

  const checkpoint = new Checkpoint(folder);
  const grids: Callback = {
    onEpochEnd: ({ epoch }) => draw(`epoch-${epoch}`),
    onInterrupt: () => draw("interrupted"),
  };
  const shown = new ShowProgress({ unit: "steps", print: (line) => process.stderr.write(`${line}\n`) });
  const trainer = new Trainer<[Tensor, Tensor]>({
    model,
    ...adversarial(model, options.lr),
    manual: true,
    compile: true,
    callbacks: [shown, grids, new CSVLogger(join(folder, "history.csv")), checkpoint],
  });
  const loader = new DataLoader(images, { batchSize: options.batch, shuffle: true });
  const resume = existsSync(checkpoint.path) && options.resume !== undefined ? checkpoint.path : undefined;
  const start = performance.now();
  const history = await trainer.fit(loader, { epochs: options.epochs, resume });
  const seconds = (performance.now() - start) / 1000;
  const { interrupted, steps } = trainer;
  const summary = { ...described, steps, interrupted, seconds: Number(seconds.toFixed(3)), history };
  saveSummary(folder, summary);
  result({ folder, ...summary });
  if (interrupted) {
    say("stopped", `after ${count(steps)} steps; cresset gan --resume ${folder} goes on`);
    return 130;
  }
  const last = history.at(-1);
  if (last !== undefined) {
    const [d, g] = [last["discriminator"], last["generator"]] as [number, number];
    say("trained", `${seconds.toFixed(1)} s; losses ${d.toFixed(4)} (discriminator), ${g.toFixed(4)} (generator)`);
  }
  say("saved", `${folder}: epoch-${options.epochs}.png, history.csv, last.pt, summary.json`);
  print(pc.dim(`cresset gan --resume ${folder} --epochs ${options.epochs + 1} trains one more epoch`));
  return 0;
}

/** The settings of the run in `folder`, with the epochs asked for now. */
function resumed(options: GanOptions, folder: string): GanOptions {
  const path = join(folder, "summary.json");
  let saved: Partial<GanOptions> & { source?: string; origin?: string };
  try {
    saved = JSON.parse(readFileSync(path, "utf8")) as typeof saved;
  } catch (error) {
    throw new FormatError(`${path}: no summary of a run: ${(error as Error).message}`, { cause: error });
  }
  const { batch, lr, seed, source, origin } = saved;
  const dataset = Object.entries(sources).find(([, name]) => name === source)?.[0] as DatasetName | undefined;
  if (![batch, lr, seed].every((value) => typeof value === "number" && value >= 0) || dataset === undefined) {
    throw new FormatError(`${path}: this is no run of cresset gan`);
  }
  // The images it was trained on, where they were found: another data set must not slip in.
  const data = options.data ?? (dataset === "digits" ? undefined : origin);
  return { ...options, ...({ batch, lr, seed } as GanOptions), dataset, data, resume: folder };
}

const sources = { mnist: "MNIST", fashion: "Fashion-MNIST", digits: "SyntheticDigits" };
