/**
 * Logs for TensorBoard: what PyTorch's `SummaryWriter` does, with its names. The format is `event-file.ts`'s.
 */
import { type FileAppender, join, openAppend } from "#files";
import { processName } from "#terminal";
import { refuseArgument } from "../arguments.js";
import type { ComputationGraph } from "../autograd/graph.js";
import { graph } from "../autograd/index.js";
import { DataError, ShapeError, ValueError } from "../errors.js";
import { isTensor, type Tensor } from "../tensor/index.js";
import { encodePng } from "../vision/image-file.js";
import { EventEncoder, frame, type Histogram, type SummaryValue } from "./event-file.js";

/** Event files made by this process so far: two in one second get two names. */
let made = 0;

/**
 * Writes an event file that TensorBoard shows (`tensorboard --logdir runs`). Each call is on disk when it returns; `step`
 * counts what you count, and is 0 unless given.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { SummaryWriter } from "cresset/training";
 *
 * const writer = await SummaryWriter.create("runs/digits");
 * for (let step = 0; step < 3; step++) writer.addScalar("loss", 1 / (step + 1), step);
 * writer.addHistogram("weights", torch.randn([1000]));
 * writer.close();
 * ```
 *
 * Needs the optional package @bufbuild/protobuf; `addImage` also needs what `cresset/vision` writes images with.
 *
 * Errors: DataError when the package or the folder is missing; ValueError after `close`.
 *
 * Source: https://docs.pytorch.org/docs/stable/tensorboard.html
 */
export class SummaryWriter {
  readonly folder: string;
  readonly #encoder: EventEncoder;
  readonly #file: FileAppender;
  /** A file of its own for each curve of `addScalars`, as TensorBoard wants it to draw them together. */
  readonly #curves = new Map<string, SummaryWriter>();
  #closed = false;

  private constructor(folder: string, encoder: EventEncoder) {
    this.folder = folder;
    this.#encoder = encoder;
    const seconds = Math.floor(Date.now() / 1000);
    this.#file = openAppend(join(folder, `events.out.tfevents.${seconds}.${processName()}.${made++}`), true);
    this.#write(this.#encoder.event(Date.now() / 1000, 0, { fileVersion: "brain.Event:2" }));
  }

  /** Begins an event file in `folder`, which is made where it is missing. */
  static async create(folder: string): Promise<SummaryWriter> {
    const { BinaryWriter } = await import("@bufbuild/protobuf/wire").catch((cause: unknown) => {
      throw new DataError("SummaryWriter needs the package @bufbuild/protobuf: npm install @bufbuild/protobuf", {
        cause,
      });
    });
    return new SummaryWriter(folder, new EventEncoder(BinaryWriter));
  }

  /** A number, a point of the curve `tag`. */
  addScalar(tag: string, value: number | Tensor, step = 0): void {
    if (typeof value !== "number" && !isTensor(value))
      refuseArgument("addScalar", "value", value, "a number or a tensor");
    this.#add(tag, { kind: "scalar", value: typeof value === "number" ? value : value.item() }, step);
  }

  /** Several curves in one chart: `addScalars("loss", { train: 0.5, validation: 0.6 }, step)`. */
  addScalars(mainTag: string, values: Readonly<Record<string, number | Tensor>>, step = 0): void {
    this.#open();
    for (const [name, value] of Object.entries(values)) {
      const folder = join(this.folder, `${mainTag.replaceAll("/", "_")}_${name.replaceAll("/", "_")}`);
      let writer = this.#curves.get(folder);
      if (writer === undefined) {
        writer = new SummaryWriter(folder, this.#encoder);
        this.#curves.set(folder, writer);
      }
      writer.addScalar(mainTag, value, step);
    }
  }

  /**
   * An image: (H, W), (1, H, W) or (3, H, W), uint8 or floats from 0 to 1. Resolves when it is written, because packing an
   * image takes time.
   */
  async addImage(tag: string, image: Tensor, step = 0): Promise<void> {
    this.#open();
    const png = await encodePng(image);
    const [height, width] = image.shape.slice(-2) as [number, number];
    const channels = image.ndim === 2 ? 1 : (image.shape[0] as number);
    this.#add(tag, { kind: "image", value: { height, width, channels, png } }, step);
  }

  /** How the numbers of a tensor are spread: weights, gradients, activations. */
  addHistogram(tag: string, values: Tensor | ArrayLike<number>, step = 0): void {
    const numbers = isTensor(values) ? values.detach().toTypedArray() : values;
    this.#add(
      tag,
      { kind: "histogram", value: histogramOf(Float64Array.from(numbers as ArrayLike<number>, Number)) },
      step,
    );
  }

  /** Text, in Markdown. */
  addText(tag: string, text: string, step = 0): void {
    this.#add(tag, { kind: "text", value: text }, step);
  }

  /** The computation graph of a tensor, or one that `torch.autograd.graph` gave. */
  addGraph(what: Tensor | ComputationGraph): void {
    this.#open();
    const drawn = isTensor(what) ? graph(what) : what;
    if (drawn.nodes.length === 0)
      throw new ValueError("addGraph: the tensor has no graph; compute it from what requires a gradient");
    this.#write(this.#encoder.event(Date.now() / 1000, 0, { graph: drawn }));
  }

  /** Ends the file. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
    for (const writer of this.#curves.values()) writer.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #add(tag: string, summary: SummaryValue, step: number): void {
    this.#open();
    if (tag === "") throw new ValueError("SummaryWriter: a tag must not be empty");
    if (!Number.isSafeInteger(step)) throw new ValueError(`SummaryWriter: step is ${step}; it must be a whole number`);
    this.#write(this.#encoder.event(Date.now() / 1000, step, { tag, summary }));
  }

  #open(): void {
    if (this.#closed) throw new ValueError("SummaryWriter: the file is closed");
  }

  #write(event: Uint8Array): void {
    this.#file.append(frame(event));
  }
}

/** The ends of TensorBoard's own buckets on the positive side: 1e-12, each 1.1 times the one before, up to 1e20. */
const positiveLimits: readonly number[] = (() => {
  const limits: number[] = [];
  for (let limit = 1e-12; limit < 1e20; limit *= 1.1) limits.push(limit);
  return limits;
})();
const allLimits = [...positiveLimits.map((limit) => -limit).reverse(), 0, ...positiveLimits, Number.MAX_VALUE];

function histogramOf(numbers: Float64Array): Histogram {
  if (numbers.length === 0) throw new ShapeError("addHistogram: there are no numbers");
  const counts = new Float64Array(allLimits.length);
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  let sumSquares = 0;
  for (const number of numbers) {
    if (!Number.isFinite(number)) throw new ValueError(`addHistogram: there is ${number} among the numbers`);
    min = Math.min(min, number);
    max = Math.max(max, number);
    sum += number;
    sumSquares += number * number;
    const bucket = firstAtLeast(allLimits, number);
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  // Only the buckets in use, with an empty one before them, so that the first has a lower end.
  const first = Math.max(0, counts.findIndex((count) => count > 0) - 1);
  const last = counts.findLastIndex((count) => count > 0) + 1;
  const used = { limits: allLimits.slice(first, last), counts: Array.from(counts.subarray(first, last)) };
  return { min, max, count: numbers.length, sum, sumSquares, ...used };
}

/** The first place whose limit is not below `bound`. */
function firstAtLeast(limits: readonly number[], bound: number): number {
  let low = 0;
  let high = limits.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((limits[middle] as number) >= bound) high = middle;
    else low = middle + 1;
  }
  return low;
}
