/**
 * `cresset mnist predict`: saved weights, some images, and what the model says to them.
 */
import pc from "picocolors";
import { DataError, FormatError, IndexError } from "../errors.js";
import { type DeviceLike, type nn, setDefaultDevice, type Tensor, tensor } from "../index.js";
import { loadFile, loadMetadata } from "../io/index.js";
import { readIdx } from "../vision/index.js";
import { imageBytes, side } from "../vision/labelled-images.js";
import { answers, largest, recipes } from "./classifier.js";
import { print, printJson, result } from "./output.js";
import { drawAnswer } from "./picture.js";
import { findTestImages } from "./source.js";

export interface PredictOptions {
  weights: string;
  data?: string;
  images?: string;
  index?: number[];
  json?: boolean;
  /** As given; torch refuses one it does not know. */
  device: DeviceLike;
}

/** The images to classify, with labels where they are known. */
interface Pictures {
  readonly title: string;
  readonly length: number;
  pixelsOf(index: number): Uint8Array;
  labelOf(index: number): number | undefined;
}

const linesWithoutIndex = 10;

/** Loads the model and writes its answers. Throws DataError and FormatError for files that are absent or damaged. */
export async function predict(options: PredictOptions): Promise<void> {
  printJson(options.json);
  setDefaultDevice(options.device);
  const { model, names } = loadModel(options.weights);
  const pictures = options.images === undefined ? testPictures(options.data) : filePictures(options.images);
  const wanted = options.index ?? Array.from({ length: Math.min(linesWithoutIndex, pictures.length) }, (_, i) => i);
  print(`${pc.cyan("images")}  ${pictures.title}, ${pictures.length.toLocaleString("en")} images`);
  const answered: object[] = [];
  for (const index of wanted) {
    if (index >= pictures.length)
      throw new IndexError(`image ${index} of ${pictures.length}; the last is ${pictures.length - 1}`);
    const pixels = pictures.pixelsOf(index);
    const outputs = answers(model, asTensor(pixels));
    const answer = largest(outputs);
    const label = pictures.labelOf(index);
    answered.push({ image: index, answer, name: names[answer], outputs: Array.from(outputs), label: label ?? null });
    const verdict =
      label === undefined
        ? ""
        : label === answer
          ? pc.green("  right")
          : pc.red(`  wrong: it is ${names[label] ?? label}`);
    print(
      `image ${index}: ${pc.bold(names[answer] ?? String(answer))} (${(outputs[answer] as number).toFixed(3)})${verdict}`,
    );
    if (options.index !== undefined) print(`${drawAnswer(pixels, outputs, names, label)}\n`);
  }
  result(answered);
}

function loadModel(path: string): { model: nn.Sequential; names: readonly string[] } {
  const weights = loadFile(path);
  const metadata = loadMetadata(path);
  // Weights from elsewhere have no name with them; only the refined model has a fourth layer with weights.
  const name = metadata.model ?? ("3.weight" in weights ? "refined" : "seed");
  if (name !== "refined" && name !== "seed")
    throw new FormatError(`${path}: holds a model called ${name}; this command knows refined and seed`);
  const model = recipes[name].build();
  model.loadStateDict(weights);
  return { model, names: classNames(metadata.classes) };
}

/** The ten names in the metadata; digits when there are none, or something else. */
function classNames(text: string | undefined): readonly string[] {
  try {
    const names: unknown = JSON.parse(text ?? "");
    if (Array.isArray(names) && names.length === 10 && names.every(isPrintable)) return names;
  } catch {
    // Not JSON: as good as absent.
  }
  return Array.from({ length: 10 }, (_, i) => String(i));
}

function testPictures(folder: string | undefined): Pictures {
  const source = findTestImages(folder);
  const test = source.open(false);
  return {
    title: `${source.name}'s test images (${source.origin})`,
    length: test.length,
    pixelsOf: (index) => test.pixelsOf(index),
    labelOf: (index) => test.labelOf(index),
  };
}

function filePictures(path: string): Pictures {
  const { shape, data } = readIdx(path);
  const [length, height, width] = shape;
  if (!(data instanceof Uint8Array) || shape.length !== 3 || height !== side || width !== side) {
    throw new FormatError(`${path}: holds sizes ${shape.join(" × ")}; images are uint8 N × ${side} × ${side}`);
  }
  if (length === 0) throw new DataError(`${path}: holds no image`);
  return {
    title: path,
    length: length as number,
    pixelsOf: (index) => data.subarray(index * imageBytes, (index + 1) * imageBytes),
    labelOf: () => undefined,
  };
}

const asTensor = (pixels: Uint8Array): Tensor => tensor(pixels).reshape([1, side, side]);

/** A file may come from anywhere: nothing in it may steer the terminal. */
const isPrintable = (name: unknown): name is string =>
  typeof name === "string" && name.length <= 40 && !/\p{C}/u.test(name);
