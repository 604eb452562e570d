/**
 * How training goes: a bar on a terminal, a line an epoch (and every ten seconds) elsewhere. The bar itself is
 * cli-progress's; this says what stands beside it.
 */
import type { SingleBar } from "cli-progress";
import { minutes } from "../training/progress.js";

/** The bar moves this often, in milliseconds; a step takes much less. */
const barEveryMs = 80;
const lineEveryMs = 10_000;

export class TrainingProgress {
  readonly #epochs: number;
  readonly #imagesAnEpoch: number;
  readonly #bar: SingleBar | undefined;
  #start = 0;
  #atStart = 0;
  #shown = 0;
  #loss = Number.NaN;
  #done = 0;

  private constructor(epochs: number, imagesAnEpoch: number, bar: SingleBar | undefined) {
    this.#epochs = epochs;
    this.#imagesAnEpoch = imagesAnEpoch;
    this.#bar = bar;
    bar?.start(epochs * imagesAnEpoch, 0, this.#figures());
  }

  static async start(epochs: number, imagesAnEpoch: number): Promise<TrainingProgress> {
    return new TrainingProgress(epochs, imagesAnEpoch, process.stderr.isTTY ? await makeBar() : undefined);
  }

  /** Images a second since the first step, which compiles. */
  get rate(): number {
    const seconds = (performance.now() - this.#start) / 1000;
    return this.#done > this.#atStart && seconds > 0 ? (this.#done - this.#atStart) / seconds : 0;
  }

  /** The loss, smoothed over about a hundred steps. */
  get loss(): number {
    return this.#loss;
  }

  /** Called after every step with the images trained on so far. */
  step(images: number, loss: number): void {
    const before = this.#done;
    this.#done = images;
    this.#loss = Number.isNaN(this.#loss) ? loss : this.#loss + (loss - this.#loss) * 0.01;
    const now = performance.now();
    if (before === 0) {
      this.#start = now;
      this.#atStart = images;
      this.#shown = now;
    }
    const epochEnded = Math.floor(images / this.#imagesAnEpoch) > Math.floor(before / this.#imagesAnEpoch);
    if (this.#bar !== undefined) {
      if (now - this.#shown < barEveryMs && !epochEnded) return;
      this.#bar.update(images, this.#figures());
    } else {
      if (now - this.#shown < lineEveryMs && !epochEnded) return;
      const { epoch, loss: text, rate, left } = this.#figures();
      const percent = Math.floor((100 * images) / (this.#epochs * this.#imagesAnEpoch));
      process.stderr.write(`${epoch}  ${percent} %  loss ${text}  ${rate} images/s  ${left} left\n`);
    }
    this.#shown = now;
  }

  stop(): void {
    this.#bar?.update(this.#done, this.#figures());
    this.#bar?.stop();
  }

  #figures() {
    const epoch = Math.min(this.#epochs, Math.max(1, Math.ceil(this.#done / this.#imagesAnEpoch)));
    const rate = this.rate;
    const seconds = rate > 0 ? (this.#epochs * this.#imagesAnEpoch - this.#done) / rate : Number.NaN;
    return {
      epoch: `epoch ${epoch}/${this.#epochs}`,
      loss: Number.isNaN(this.#loss) ? "…" : this.#loss.toFixed(4),
      rate: rate > 0 ? Math.round(rate).toLocaleString("en") : "…",
      left: Number.isNaN(seconds) ? "…" : minutes(seconds),
    };
  }
}

async function makeBar(): Promise<SingleBar> {
  const { default: cliProgress } = await import("cli-progress");
  return new cliProgress.SingleBar({
    format: "{epoch} {bar} {percentage} %  loss {loss}  {rate} images/s  {left} left",
    barCompleteChar: "━",
    barIncompleteChar: "╌",
    barsize: 28,
    hideCursor: true,
    // Ctrl-C is ours: the step is finished and saved first.
    gracefulExit: false,
    stream: process.stderr,
  });
}
