/**
 * `cresset mnist`: train the seed's classifier, say how well it does, and leave the run in a folder. The loop is the trainer's,
 * the step the one of the seed's program 03.
 */
import { join } from "node:path";
import pc from "picocolors";
import { DataLoader } from "../data/index.js";
import { FormatError } from "../errors.js";
import { nn } from "../index.js";
import { saveFile } from "../io/index.js";
import type { LabelledImages } from "../vision/index.js";
import { answers, inputsOf, largest, type ModelName, recipes } from "./classifier.js";
import { Confusion } from "./confusion.js";
import { count, print, printJson, say } from "./output.js";
import { drawAnswer } from "./picture.js";
import { inWords, planRun, Run } from "./run.js";
import { optionsOf, type RunOptions } from "./run-folder.js";

export interface TrainOptions extends RunOptions {
  model: ModelName;
  /** Leave loss.png and answer.png too. */
  figures?: boolean;
  /** Open them. */
  open?: boolean;
}

/**
 * Trains, tests, saves. The exit code: 0, or 130 after Ctrl-C.
 *
 * @param typed the names of the options that were typed
 */
export async function train(asked: TrainOptions, typed: ReadonlySet<string>): Promise<number> {
  printJson(asked.json);
  const { options, saved } = optionsOf("mnist", asked, typed);
  if (!Object.hasOwn(recipes, options.model))
    throw new FormatError(`${options.resume}: a run of a model called ${JSON.stringify(options.model)}; there is none`);
  const recipe = recipes[options.model];
  const plan = await planRun({ command: "mnist", model: options.model }, { ...recipe.defaults, ...options }, saved);
  const { folder, settings, source, images } = plan;
  const model = recipe.build();
  const lossFunction = recipe.loss();
  const saveWeights = (): void => {
    const classes = JSON.stringify(images.classes);
    const metadata = { model: options.model, dataset: settings.dataset, classes, framework: "cresset" };
    saveFile(model.stateDict(), join(folder, "weights.safetensors"), metadata);
  };
  const run = await Run.begin(plan, {
    model,
    optimiser: recipe.optimiser(model, settings.lr),
    step: ([pixels, labels]) =>
      lossFunction.forward(model.forward(inputsOf(pixels)), nn.functional.oneHot(labels, 10).float()),
    callbacks: [{ onEpochEnd: saveWeights, onInterrupt: saveWeights }],
  });
  say("data", `${settings.dataset}, ${count(settings.trainImages)} images to train on (${settings.origin})`);
  say("model", `${options.model}: ${recipe.title}`);
  say("training", inWords(settings, recipe.optimiserName));

  const outcome = await run.train();
  if (outcome.interrupted) return run.stopped(outcome);

  const test = source.open(false);
  const confusion = examine(model, test);
  const { accuracy, counts, right, total } = confusion;
  run.finish(outcome, { accuracy, testImages: test.length }, { confusion: counts });
  say("trained", `${outcome.seconds.toFixed(1)} s, ${count(outcome.imagesPerSecond)} images/s`);
  say("accuracy", `${pc.bold(`${(100 * accuracy).toFixed(2)} %`)}: ${count(right)} of ${count(total)} test images\n`);
  print(`${confusion.toString(test.classes)}\n`);
  const shown = options.seed % test.length;
  print(`${drawOne(model, test, shown)}\n`);
  say("saved", `${folder}: weights.safetensors, last.pt, history.csv, summary.json`);
  if (options.figures || options.open) {
    const { openFile, saveFigures } = await import("./figures.js");
    const [image, label] = test.get(shown);
    const paths = await saveFigures(folder, { image, outputs: answers(model, image), names: test.classes, label });
    say("figures", paths.join(", "));
    if (options.open) for (const path of paths) openFile(path);
  }
  return 0;
}

/** The model's answers to the test images. */
function examine(model: nn.Sequential, test: LabelledImages): Confusion {
  const confusion = new Confusion();
  for (const [images, labels] of new DataLoader(test, { batchSize: 1000 })) {
    const outputs = answers(model, images);
    labels.toTypedArray().forEach((label, i) => void confusion.add(Number(label), largest(outputs, 10 * i)));
  }
  return confusion;
}

function drawOne(model: nn.Sequential, test: LabelledImages, index: number): string {
  const [image, label] = test.get(index);
  const picture = drawAnswer(test.pixelsOf(index), answers(model, image), test.classes, label);
  return `  test image ${index}\n${picture}`;
}
