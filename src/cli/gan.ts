/**
 * `cresset gan`: the book's generator of handwritten digits, against its discriminator. The loop is the trainer's; the step is
 * the book's: the discriminator learns from real images and from made ones, and the generator through it.
 *
 * Source: Tariq Rashid, Make Your First GAN With PyTorch (2020)
 */
import { join } from "node:path";
import pc from "picocolors";
import { Generator, noGrad, randn } from "../index.js";
import { saveImage } from "../vision/index.js";
import { Adversaries, adversarial, noiseSize } from "./adversaries.js";
import { again, count, print, printJson, say } from "./output.js";
import { inWords, planRun, Run } from "./run.js";
import { type CompleteOptions, optionsOf } from "./run-folder.js";

export type GanOptions = CompleteOptions;

/** Images in the grid that each epoch leaves. */
const gridSide = 6;

/**
 * Trains, and writes a grid of made images each epoch. The exit code: 0, or 130 after Ctrl-C.
 *
 * @param typed the names of the options that were typed
 */
export async function gan(asked: GanOptions, typed: ReadonlySet<string>): Promise<number> {
  printJson(asked.json);
  const { options, saved } = optionsOf("gan", asked, typed);
  const plan = await planRun({ command: "gan" }, options, saved);
  const { folder, settings } = plan;
  const { epochs, lr, seed } = settings;
  const model = new Adversaries();
  const noise = randn([gridSide ** 2, noiseSize], { generator: new Generator().manualSeed(seed) });
  const draw = (name: string): Promise<void> =>
    saveImage(noGrad(() => model.forward(noise)).reshape(-1, 1, 28, 28), join(folder, `${name}.png`), {
      nrow: gridSide,
    });
  const run = await Run.begin(plan, {
    model,
    ...adversarial(model, lr),
    manual: true,
    callbacks: [{ onEpochEnd: ({ epoch }) => draw(`epoch-${epoch}`), onInterrupt: () => draw("interrupted") }],
  });
  say("data", `${settings.dataset}, ${count(settings.trainImages)} images (${settings.origin})`);
  say("generator", `${noiseSize} → 200 LeakyReLU(0.02), LayerNorm → 784 Sigmoid`);
  say("against", "784 → 200 LeakyReLU(0.02), LayerNorm → 1 Sigmoid, binary cross-entropy");
  say("training", inWords(settings, "Adam"));
  // Written now too: what images need is then known before the work, not after.
  if (saved === undefined) await draw("epoch-0");

  const outcome = await run.train();
  if (outcome.interrupted) return run.stopped(outcome);
  run.finish(outcome);
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
