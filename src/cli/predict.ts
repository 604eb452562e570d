/**
 * `cresset mnist predict`: saved weights, some images, and what the model says to them.
 */
import pc from "picocolors";
import { DataError, FormatError, IndexError } from "../errors.js";
import { type DeviceLike, setDefaultDevice, type Tensor, tensor } from "../index.js";
import { readIdx } from "../vision/index.js";
import { imageBytes, side } from "../vision/labelled-images.js";
import { answers, largest } from "./classifier.js";
import { print, printJson, result } from "./output.js";
import { drawAnswer } from "./picture.js";
import { loadClassifier } from "./saved-model.js";
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
  const { model, names } = await loadClassifier(options.weights);
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
