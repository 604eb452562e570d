#!/usr/bin/env node
/**
 * The `cresset` command: arguments, help, and one line for an error. What a command does lies in a file of its own,
 * loaded when it is asked for, so that `cresset --help` does not wait for a tensor library.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import pc from "picocolors";
import type { PredictOptions } from "./predict.js";
import type { TrainOptions } from "./train.js";

const wholeNumber = (least: number) => (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`);
  return value;
};

const positiveNumber = (text: string) => {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
};

const indices = (text: string, before: number[] | undefined) => [...(before ?? []), wholeNumber(0)(text)];

/** The package's own; this file lies two folders below it once compiled. */
function version(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}

function commandLine(): Command {
  const program = new Command("cresset")
    .description("PyTorch's programming model for TypeScript, on a kernel compiler of its own.")
    .version(version())
    .enablePositionalOptions()
    .showHelpAfterError("(--help explains)")
    .exitOverride();

  const mnist = program
    .command("mnist")
    .description("train a classifier of handwritten digits and show what it learnt")
    .addOption(
      new Option("--model <name>", "refined: LeakyReLU, LayerNorm, BCE, Adam; seed: Sigmoid, MSE, SGD")
        .choices(["refined", "seed"])
        .default("refined"),
    )
    .option("--epochs <n>", "rounds through the training images (default: 5; seed: 3)", wholeNumber(1))
    .option("--batch <n>", "images a step (default: 32; seed: 1)", wholeNumber(1))
    .option("--lr <x>", "learning rate (default: 0.001; seed: 0.01)", positiveNumber)
    .option("--seed <n>", "where chance begins; the same seed gives the same weights", wholeNumber(0), 0)
    .option("--data <dir>", "folder with the IDX files of MNIST, or to download them into")
    .addOption(
      new Option("--dataset <name>", "auto takes MNIST, else Fashion-MNIST, else built-in digits")
        .choices(["auto", "mnist", "fashion", "digits"])
        .default("auto"),
    )
    .option("--out <dir>", "folder for weights, history and summary (default: runs/<date-time>-mnist)")
    .option("--device <name>", "where to compute", "cpu")
    .addHelpText(
      "after",
      `
Ctrl-C finishes the step, saves what was learnt and stops; twice stops at once.

Examples:
  $ cresset mnist                                     five epochs of the refined classifier
  $ cresset mnist --model seed --epochs 1             the classifier as it stands in the book
  $ cresset mnist --dataset digits --batch 256        on digits drawn by cresset itself
  $ cresset mnist predict --weights runs/…/weights.safetensors --index 0 7 42`,
    )
    .action(async (options: TrainOptions) => {
      const { train } = await import("./train.js");
      process.exitCode = await train(options);
    });

  mnist
    .command("predict")
    .description("classify images with saved weights")
    .requiredOption("--weights <file>", "weights.safetensors of a run")
    .option("--data <dir>", "folder with the IDX files of the test images")
    .option("--images <file>", "an IDX file of images (plain or .gz) instead of the test images")
    .option("--index <n...>", "which images to draw and classify (default: a line each for the first ten)", indices)
    .option("--device <name>", "where to compute", "cpu")
    .addHelpText(
      "after",
      `
Examples:
  $ cresset mnist predict --weights runs/…/weights.safetensors
  $ cresset mnist predict --weights w.safetensors --images my-digits.idx --index 3`,
    )
    .action(async (options: PredictOptions) => {
      const { predict } = await import("./predict.js");
      await predict(options);
    });

  return program;
}

/** One line for what went wrong; the stack only for those who ask with CRESSET_DEBUG. */
function report(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red("cresset:")} ${message.replace(/\s*\n\s*/g, " ")}\n`);
  if (process.env.CRESSET_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

// A reader that has seen enough (`| head`) does not end a training.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

try {
  await commandLine().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has said what was wrong; asking for help is not wrong.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    report(error);
    process.exitCode = 1;
  }
}
