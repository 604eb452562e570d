/**
 * Which images the command works on: MNIST if it is on this machine or can be fetched, else Fashion-MNIST if it is
 * installed, else digits drawn here; and it says which, and why.
 */

import { userDataFolder } from "#files";
import { DataError } from "../errors.js";
import { type DownloadProgress, FashionMNIST, type LabelledImages, MNIST, SyntheticDigits } from "../vision/index.js";

export type DatasetName = "auto" | "mnist" | "fashion" | "digits";

/** Data sets as people call them, and as the option does. */
export const datasetNames: Readonly<Record<string, DatasetName>> = {
  MNIST: "mnist",
  "Fashion-MNIST": "fashion",
  SyntheticDigits: "digits",
};

export interface ImageSource {
  /** As a person calls it: a key of `datasetNames`. */
  readonly name: string;
  /** Where it lies, or how it was made. */
  readonly origin: string;
  open(train: boolean): LabelledImages;
}

/** A mirror that has not answered by then is taken for unreachable: the built-in digits are ready at once. */
const patienceMs = 5000;

/**
 * Finds the images, downloading MNIST when it is wanted and absent.
 *
 * @param wanted what the user asked for
 * @param folder the user's folder; with it, nothing else stands in for what is not there
 * @param say tells the user what happens
 */
export async function findImages(
  wanted: DatasetName,
  folder: string | undefined,
  say: (line: string) => void,
): Promise<ImageSource> {
  if (wanted === "digits") return builtIn();
  const isFashion = wanted === "fashion" || (wanted === "auto" && /fashion/i.test(folder ?? ""));
  const family = isFashion ? FashionMNIST : MNIST;
  const found = family.find({ root: folder });
  if (found !== undefined) return inFolder(family, found);

  const title = titleOf(family);
  say(`${title} is not on this machine; trying to download it`);
  try {
    const root = folder ?? userDataFolder();
    const reached = await family.download(root, { timeout: patienceMs, onProgress: progressLine() });
    return inFolder(family, reached);
  } catch (error) {
    if (wanted !== "auto" || folder !== undefined || !(error instanceof DataError)) throw error;
    say(`no mirror gave it: ${lastReason(error.message)}`);
  }
  const installed = FashionMNIST.find();
  return installed === undefined ? builtIn() : inFolder(FashionMNIST, installed);
}

/** The test images for `predict`: those found, or the built-in digits; nothing is fetched. */
export function findTestImages(folder: string | undefined): ImageSource {
  const families = /fashion/i.test(folder ?? "") ? [FashionMNIST] : [MNIST, FashionMNIST];
  for (const family of families) {
    const found = family.find({ root: folder, train: false });
    if (found !== undefined) return inFolder(family, found);
  }
  if (folder !== undefined)
    throw new DataError(`no test images (t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, plain or .gz) in ${folder}`);
  return builtIn();
}

const titleOf = (family: typeof MNIST): string => (family === FashionMNIST ? "Fashion-MNIST" : "MNIST");

const inFolder = (family: typeof MNIST, folder: string): ImageSource => ({
  name: titleOf(family),
  origin: folder,
  open: (train) => new family({ root: folder, train }),
});

const builtIn = (): ImageSource => ({
  name: "SyntheticDigits",
  origin: "drawn by cresset",
  open: (train) => new SyntheticDigits({ train, length: train ? 20_000 : 4_000 }),
});

/** Shows a download on a terminal, overwriting one line. */
function progressLine(): ((progress: DownloadProgress) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  return ({ file, received, total }) => {
    const done = received === total;
    const percent = total ? `${Math.floor((100 * received) / total)} %` : `${(received / 1e6).toFixed(1)} MB`;
    process.stderr.write(`\r\x1b[K${done ? "" : `${file} ${percent}`}`);
  };
}

/** Of "what: mirror: reason; mirror: reason" the last reason: one line is enough for what is no error. */
const lastReason = (message: string): string => message.slice(message.lastIndexOf(": ") + 2);
