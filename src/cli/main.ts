#!/usr/bin/env node
/**
 * The `cresset` command: arguments, help, and one line for an error. What a command does lies in a file of its own,
 * loaded when it is asked for, so that `cresset --help` does not wait for a tensor library.
 */
import { readFileSync, writeSync } from "node:fs";
import { Command, CommanderError, Option } from "commander";
import pc from "picocolors";
import { choice, indices, nearest, positiveNumber, wholeNumber } from "./arguments.js";
import type { BenchOptions } from "./bench.js";
import { completion } from "./completion.js";
import type { ExportOptions } from "./export.js";
import type { PlotOptions } from "./figures.js";
import type { GanOptions } from "./gan.js";
import type { PredictOptions } from "./predict.js";
import type { TrainOptions } from "./train.js";

const exitCodes = `
Exit codes:
  0    done
  1    it failed: data is missing or damaged, a file cannot be written, a device is absent
  2    the command line is wrong
  130  Ctrl-C; all is saved, and --resume goes on (143: the same after SIGTERM)`;

/** The package's own; this file lies two folders below it once compiled. */
function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}

/** Options that training commands share. */
function trainingOptions(command: Command, kind: string): Command {
  return command
    .option("--seed <n>", "where chance begins; the same seed gives the same weights", wholeNumber(0), 0)
    .option("--data <dir>", "folder with the IDX files of MNIST, or to download them into")
    .addOption(
      choice(
        "--dataset <name>",
        "auto takes MNIST, else Fashion-MNIST, else built-in digits",
        ["auto", "mnist", "fashion", "digits"],
        "auto",
      ),
    )
    .option("--out <dir>", `folder for what is left behind (default: runs/<date-time>-${kind})`)
    .addOption(new Option("--resume <dir>", "go on with the run in this folder, with its settings").conflicts("out"))
    .option("--device <name>", "where to compute", "cpu")
    .option("--json", "print the summary as JSON; lines for people go to stderr");
}

/** The names of the options that were typed, not left to their defaults. */
const typed = (command: Command): ReadonlySet<string> =>
  new Set(Object.keys(command.opts()).filter((name) => command.getOptionValueSource(name) === "cli"));

/** Ends the program, as commander does where a command has no action of its own. */
function unknownCommand(command: Command, word: string): never {
  const near = nearest(
    word,
    command.commands.map((one) => one.name()),
  );
  return command.error(`error: unknown command '${word}'${near === undefined ? "" : `\n(Did you mean ${near}?)`}`);
}

function addMnist(program: Command): void {
  const mnist = program
    .command("mnist")
    .description("train a classifier of handwritten digits and show what it learnt")
    .addOption(
      choice(
        "--model <name>",
        "refined: LeakyReLU, LayerNorm, BCE, Adam; seed: Sigmoid, MSE, SGD",
        ["refined", "seed"],
        "refined",
      ),
    )
    .option("--epochs <n>", "rounds through the training images (default: 5; seed: 3)", wholeNumber(1))
    .option("--batch <n>", "images a step (default: 32; seed: 1)", wholeNumber(1))
    .option("--lr <x>", "learning rate (default: 0.001; seed: 0.01)", positiveNumber);
  trainingOptions(mnist, "mnist")
    .option("--figures", "also draw the loss and one answer: loss.png, answer.png")
    .option("--open", "draw them and open them")
    .addHelpText(
      "after",
      `
Ctrl-C finishes the step, saves everything and stops; --resume then goes on at
the very step, as if nothing had happened. A run that was killed goes on from its
last whole epoch. Ctrl-C twice stops at once.

Examples:
  $ cresset mnist                               the refined classifier, 5 epochs
  $ cresset mnist --model seed --epochs 1       the classifier of the book
  $ cresset mnist --dataset digits --batch 256  on digits drawn by cresset itself
  $ cresset mnist --resume runs/… --epochs 8    what is left of eight epochs
  $ cresset mnist predict --weights runs/…/weights.safetensors --index 0 7`,
    )
    .allowExcessArguments()
    .action(async (options: TrainOptions, command: Command) => {
      const [word] = command.args;
      if (word !== undefined) unknownCommand(command, word);
      const { train } = await import("./train.js");
      process.exitCode = await train(options, typed(command));
    });

  mnist
    .command("predict")
    .description("classify images with saved weights")
    .requiredOption("--weights <file>", "weights.safetensors of a run, or its last.pt")
    .option("--data <dir>", "folder with the IDX files of the test images")
    .option("--images <file>", "an IDX file of images (plain or .gz) instead of the test images")
    .option("--index <n...>", "which images to draw and classify (default: a line each for the first ten)", indices)
    .option("--device <name>", "where to compute", "cpu")
    .option("--json", "print the answers as JSON; lines for people go to stderr")
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
}

function addGan(program: Command): void {
  const gan = program
    .command("gan")
    .description("train a generator of handwritten digits against a discriminator")
    .option("--epochs <n>", "rounds through the images, those of a resumed run included", wholeNumber(1), 4)
    .option("--batch <n>", "images a step; the book takes one", wholeNumber(1), 1)
    .option("--lr <x>", "learning rate of both", positiveNumber, 0.0001);
  trainingOptions(gan, "gan")
    .addHelpText(
      "after",
      `
Each epoch leaves a grid of made digits, epoch-1.png. Ctrl-C finishes the step,
saves everything and stops; --resume then goes on at the very step, as if nothing
had happened. A run that was killed goes on from its last whole epoch. Images are
written by the package @napi-rs/canvas (npm install @napi-rs/canvas).

Examples:
  $ cresset gan                                     four epochs, as in the book
  $ cresset gan --batch 32 --lr 0.0002 --epochs 20  faster steps
  $ cresset gan --resume runs/… --epochs 8          four more`,
    )
    .action(async (options: GanOptions, command: Command) => {
      const { gan } = await import("./gan.js");
      process.exitCode = await gan(options, typed(command));
    });
}

function commandLine(): Command {
  const version = packageVersion();
  const program = new Command("cresset")
    .description("PyTorch's programming model for TypeScript, on a kernel compiler of its own.")
    .version(version)
    .enablePositionalOptions()
    .showHelpAfterError("(--help explains)")
    .addHelpText("after", exitCodes)
    .exitOverride();

  addMnist(program);
  addGan(program);

  program
    .command("info")
    .description("say what there is on this machine: engines, compiler, threads, devices, caches")
    .option("--json", "print it as JSON")
    .action(async (options: { json?: boolean }) => {
      const { info } = await import("./info.js");
      info({ ...options, version });
    });

  program
    .command("bench")
    .description("measure this machine: products, passes over memory and the seed's training step, on each engine")
    .option("--seconds <x>", "time for each measurement", positiveNumber, 0.5)
    .option("--json", "print it as JSON; lines for people go to stderr")
    .action(async (options: BenchOptions) => {
      const { bench } = await import("./bench.js");
      bench(options);
    });

  program
    .command("export")
    .description("write a run's weights in another format")
    .argument("<file>", "weights or a checkpoint: .safetensors, .pt or .npz")
    .requiredOption(
      "--out <file>",
      "where to; its ending says the format: .safetensors, .pt (PyTorch), .npz (NumPy) or .onnx",
    )
    .option("--json", "print names and shapes as JSON; lines for people go to stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ cresset export runs/…/weights.safetensors --out digits.pt
  $ cresset export runs/…/weights.safetensors --out digits.onnx  the network itself
  $ cresset export runs/…/last.pt --out generator.onnx           that of cresset gan`,
    )
    .action(async (file: string, options: ExportOptions) => {
      const { exportWeights } = await import("./export.js");
      await exportWeights(file, options);
    });

  program
    .command("plot")
    .description("draw the history of a run")
    .argument("<file>", "history.csv of a run")
    .option("--out <file>", "write it here (.png, .svg or .html) instead of drawing it on the terminal")
    .option("--column <name...>", "which columns; all of them unless given")
    .option("--log", "a logarithmic scale")
    .option("--open", "open the file that was written")
    .addHelpText(
      "after",
      `
Examples:
  $ cresset plot runs/…/history.csv
  $ cresset plot runs/…/history.csv --out loss.png --open`,
    )
    .action(async (file: string, options: PlotOptions) => {
      const { plotHistory } = await import("./figures.js");
      await plotHistory(file, options);
    });

  completion(program);
  return program;
}

/** One line for what went wrong; the stack only for those who ask with CRESSET_DEBUG. */
function report(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red("cresset:")} ${message.replace(/\s*\n\s*/g, " ")}\n`);
  if (process.env.CRESSET_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

// Neither a reader that has seen enough (`| head`), nor a terminal that is gone, nor a full disk ends a training; what is not a
// reader's choice is told at the end.
let unwritten: NodeJS.ErrnoException | undefined;
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") unwritten ??= error;
  });
}
process.on("exit", () => {
  if (unwritten === undefined) return;
  process.exitCode = 1;
  try {
    writeSync(2, `cresset: what was printed could not be written: ${unwritten.message}\n`);
  } catch {
    // It is stderr that cannot be written.
  }
});

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
