/**
 * `cresset mnist`: train the seed's classifier, say how well it does, and leave the run in a folder. The loop is the
 * one of the seed's program 03, with progress and Ctrl-C around it.
 */
import pc from "picocolors";
import { DataLoader } from "../data/index.js";
import { cpuEngineName, type DeviceLike, manualSeed, nn, setDefaultDevice } from "../index.js";
import type { LabelledImages } from "../vision/index.js";
import { answers, inputsOf, largest, type ModelName, type Recipe, recipes } from "./classifier.js";
import { Confusion } from "./confusion.js";
import { Interruption } from "./interruption.js";
import { count, print, printJson, result, say } from "./output.js";
import { drawAnswer } from "./picture.js";
import { TrainingProgress } from "./progress.js";
import { newRunFolder, saveRun, saveSummary } from "./run-folder.js";
import { type DatasetName, findImages, type ImageSource } from "./source.js";

export interface TrainOptions {
  model: ModelName;
  epochs?: number;
  batch?: number;
  lr?: number;
  seed: number;
  data?: string;
  dataset: DatasetName;
  out?: string;
  json?: boolean;
  /** Leave loss.png and answer.png too. */
  figures?: boolean;
  /** Open them. */
  open?: boolean;
  /** As given; torch refuses one it does not know. */
  device: DeviceLike;
}

interface Plan {
  recipe: Recipe;
  epochs: number;
  batch: number;
  lr: number;
}

interface Training {
  losses: number[];
  seconds: number;
  imagesPerSecond: number;
  interrupted: boolean;
}

/** Trains, tests, saves. The exit code: 0, or 130 after Ctrl-C. */
export async function train(options: TrainOptions): Promise<number> {
  printJson(options.json);
  const recipe = recipes[options.model];
  const plan: Plan = {
    recipe,
    epochs: options.epochs ?? recipe.epochs,
    batch: options.batch ?? recipe.batch,
    lr: options.lr ?? recipe.lr,
  };
  setDefaultDevice(options.device);
  manualSeed(options.seed);
  const source = await findImages(options.dataset, options.data, (line) => say("data", line));
  const images = source.open(true);
  say("data", `${source.name}, ${count(images.length)} images to train on (${source.origin})`);
  say("model", `${options.model}: ${recipe.title}`);
  const engine = options.device === "cpu" ? ` (${cpuEngineName()})` : "";
  say(
    "training",
    `${plan.epochs} × ${count(images.length)} images, ${plan.batch} a step, ${recipe.optimiserName}, lr ${plan.lr}, seed ${options.seed}, on ${options.device}${engine}`,
  );

  const folder = options.out ?? newRunFolder("mnist");
  // Written now too: a folder that cannot be written should be known before the work, not after.
  const settings = describe(options, plan, source, images);
  saveSummary(folder, settings);
  const model = recipe.build();
  const training = await learn(model, images, plan);
  const metadata = {
    model: options.model,
    dataset: source.name,
    classes: JSON.stringify(images.classes),
    framework: "cresset",
  };
  saveRun(folder, { model, metadata, losses: training.losses });
  const summary = { ...settings, ...outcome(training) };
  saveSummary(folder, summary);
  if (training.interrupted) {
    result({ folder, ...summary });
    say("stopped", `after ${count(training.losses.length)} steps; weights and history are in ${folder}`);
    return 130;
  }

  const test = source.open(false);
  const confusion = examine(model, test);
  const tested = { ...summary, accuracy: confusion.accuracy, testImages: test.length };
  saveSummary(folder, tested);
  result({ folder, ...tested, confusion: confusion.counts });
  say("trained", `${training.seconds.toFixed(1)} s, ${count(training.imagesPerSecond)} images/s`);
  say(
    "accuracy",
    `${pc.bold(`${(100 * confusion.accuracy).toFixed(2)} %`)}: ${count(confusion.right)} of ${count(confusion.total)} test images\n`,
  );
  print(`${confusion.toString(test.classes)}\n`);
  const shown = options.seed % test.length;
  print(`${drawOne(model, test, shown)}\n`);
  say("saved", `${folder}: weights.safetensors, history.csv, summary.json`);
  if (options.figures || options.open) {
    const { openFile, saveFigures } = await import("./figures.js");
    const [image, label] = test.get(shown);
    const outputs = answers(model, image);
    const paths = await saveFigures(folder, { losses: training.losses, image, outputs, names: test.classes, label });
    say("figures", paths.join(", "));
    if (options.open) for (const path of paths) openFile(path);
  }
  return 0;
}

async function learn(
  model: nn.Sequential,
  images: LabelledImages,
  { recipe, epochs, batch, lr }: Plan,
): Promise<Training> {
  const lossFunction = recipe.loss();
  const optimiser = recipe.optimiser(model, lr);
  const loader = new DataLoader(images, { batchSize: batch, shuffle: true });
  const losses: number[] = [];
  const interruption = new Interruption();
  const progress = await TrainingProgress.start(epochs, images.length);
  const start = performance.now();
  let seen = 0;
  try {
    for (let epoch = 0; epoch < epochs && !interruption.requested; epoch++) {
      for await (const [pixels, labels] of loader) {
        if (interruption.requested) break;
        const targets = nn.functional.oneHot(labels, 10).float();
        const loss = lossFunction.forward(model.forward(inputsOf(pixels)), targets);
        optimiser.zeroGrad();
        loss.backward();
        optimiser.step();
        losses.push(loss.item());
        seen += labels.shape[0] as number;
        progress.step(seen, losses.at(-1) as number);
      }
    }
  } finally {
    progress.stop();
    interruption.release();
  }
  return {
    losses,
    seconds: (performance.now() - start) / 1000,
    imagesPerSecond: Math.round(progress.rate),
    interrupted: interruption.requested,
  };
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

const describe = (options: TrainOptions, plan: Plan, source: ImageSource, images: LabelledImages) => ({
  model: options.model,
  dataset: source.name,
  origin: source.origin,
  trainImages: images.length,
  epochs: plan.epochs,
  batch: plan.batch,
  lr: plan.lr,
  seed: options.seed,
  device: String(options.device),
  started: new Date().toISOString(),
});

const outcome = (training: Training) => ({
  interrupted: training.interrupted,
  steps: training.losses.length,
  finalLoss: training.losses.at(-1) ?? null,
  seconds: Number(training.seconds.toFixed(3)),
  imagesPerSecond: training.imagesPerSecond,
  finished: new Date().toISOString(),
});
