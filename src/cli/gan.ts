/**
 * `cresset gan`: the book's generator of handwritten digits, against its discriminator. The loop is the trainer's; the step is
 * the book's: the discriminator learns from real images and from made ones, and the generator through it.
 *
 * Source: Tariq Rashid, Make Your First GAN With PyTorch (2020)
 */
import { join } from "node:path";
import pc from "picocolors";
import { cpuEngineName, Generator, manualSeed, noGrad, randn, setDefaultDevice } from "../index.js";
import type { Callback } from "../training/index.js";
import { saveImage } from "../vision/index.js";
import { Adversaries, adversarial, noiseSize } from "./adversaries.js";
import { again, count, print, printJson, result, say } from "./output.js";
import { Run } from "./run.js";
import {
  imagesOf,
  newRunFolder,
  optionsToGoOn,
  type RunOptions,
  type RunSettings,
  readRun,
  saveSummary,
} from "./run-folder.js";
import { findImages } from "./source.js";

export type GanOptions = RunOptions & Required<Pick<RunOptions, "epochs" | "batch" | "lr">>;

/** Images in the grid that each epoch leaves. */
const gridSide = 6;

/**
 * Trains, and writes a grid of made images each epoch. The exit code: 0, or 130 after Ctrl-C.
 *
 * @param typed the names of the options that were typed
 */
export async function gan(asked: GanOptions, typed: ReadonlySet<string>): Promise<number> {
  printJson(asked.json);
  const saved = asked.resume === undefined ? undefined : readRun(asked.resume, "gan");
  const options = saved === undefined ? asked : optionsToGoOn(asked, saved, typed);
  setDefaultDevice(options.device);
  manualSeed(options.seed);
  const source = await findImages(options.dataset, options.data, (line) => say("data", line));
  const images = source.open(true);
  const { epochs, batch, lr, seed } = options;
  const settings: RunSettings = {
    command: "gan",
    ...imagesOf(source, images),
    epochs,
    batch,
    lr,
    seed,
    device: String(options.device),
    started: saved?.started ?? new Date().toISOString(),
  };
  const folder = options.resume ?? options.out ?? newRunFolder("gan");
  const model = new Adversaries();
  const noise = randn([gridSide ** 2, noiseSize], { generator: new Generator().manualSeed(seed) });
  const draw = (name: string): Promise<void> =>
    saveImage(noGrad(() => model.forward(noise)).reshape(-1, 1, 28, 28), join(folder, `${name}.png`), {
      nrow: gridSide,
    });
  const grids: Callback = {
    onEpochEnd: ({ epoch }) => draw(`epoch-${epoch}`),
    onInterrupt: () => draw("interrupted"),
  };
  const learner = { model, ...adversarial(model, lr), manual: true };
  const run = await Run.begin({ folder, saved, settings, images, learner, callbacks: [grids] });
  say("data", `${source.name}, ${count(images.length)} images (${source.origin})`);
  say("generator", `${noiseSize} → 200 LeakyReLU(0.02), LayerNorm → 784 Sigmoid`);
  say("against", "784 → 200 LeakyReLU(0.02), LayerNorm → 1 Sigmoid, binary cross-entropy");
  const engine = settings.device === "cpu" ? ` (${cpuEngineName()})` : "";
  say(
    "training",
    `${epochs} × ${count(images.length)} images, ${batch} a step, Adam, lr ${lr}, seed ${seed}, on ${settings.device}${engine}`,
  );
  // Written now too: what images need is then known before the work, not after.
  if (saved === undefined) await draw("epoch-0");

  const outcome = await run.train();
  const summary = { ...settings, ...outcome, ...(outcome.interrupted ? {} : { finished: new Date().toISOString() }) };
  saveSummary(folder, summary);
  result({ folder, ...summary });
  if (outcome.interrupted) return run.stopped();
  const last = outcome.history.at(-1);
  if (last !== undefined) {
    const [d, g] = [last["discriminator"], last["generator"]] as [number, number];
    say(
      "trained",
      `${outcome.seconds.toFixed(1)} s; losses ${d.toFixed(4)} (discriminator), ${g.toFixed(4)} (generator)`,
    );
  }
  say("saved", `${folder}: epoch-${epochs}.png, last.pt, history.csv, summary.json`);
  print(pc.dim(`${again(["gan", "--resume", folder, "--epochs", String(epochs + 1)])} trains one more epoch`));
  return 0;
}
