/**
 * What MNIST and all data sets laid out like it have in common: where their IDX files lie, and what they must hold. Names,
 * places and checksums are the data sets'.
 */
import { environment, exists, join, userDataFolder } from "#files";
import { DataError, FormatError } from "../errors.js";
import { parseIdx, readIdx } from "./idx.js";
import { imageBytes, side } from "./labelled-images.js";

/** The two files of a half of the data, as bytes in memory. */
export interface MNISTBytes {
  images: Uint8Array<ArrayBuffer>;
  labels: Uint8Array<ArrayBuffer>;
}

/** What tells the members of the family apart. */
export interface Variant {
  readonly name: string;
  readonly folders: readonly string[];
  readonly systemFolders: readonly string[];
  /** The names of a half's files. */
  files(train: boolean): FileNames;
  /** The greatest label. */
  readonly lastLabel: number;
}

export interface FileNames {
  readonly images: string;
  readonly labels: string;
}

/** The files of 60,000 images take 47 MB, those of EMNIST's 697,932 take 547 MB; nothing of this kind may take more. */
const maxFileBytes = 2 ** 30;

export function candidates(variant: Variant, root: string | undefined): string[] {
  if (root !== undefined) return variant.folders.map((folder) => join(root, folder));
  const roots = [environment("CRESSET_DATA"), "data", userDataFolder()].filter((place) => place !== undefined);
  return [...roots.flatMap((place) => candidates(variant, place)), ...variant.systemFolders];
}

/** The folder that holds the wanted half, or undefined. Looks at names only. */
export function find(variant: Variant, root: string | undefined, train: boolean): string | undefined {
  const names = variant.files(train);
  return candidates(variant, root).find(
    (folder) => pathOf(folder, names.images) !== undefined && pathOf(folder, names.labels) !== undefined,
  );
}

/** The file, plain or packed; undefined when neither is there. */
const pathOf = (folder: string, name: string): string | undefined =>
  [join(folder, name), join(folder, `${name}.gz`)].find(exists);

export function load(
  variant: Variant,
  options: { root?: string | undefined; train?: boolean } | MNISTBytes,
): { pixels: Uint8Array; labels: Uint8Array } {
  if ("images" in options) {
    return check(variant, parseIdx(options.images, "images"), parseIdx(options.labels, "labels"), "images", "labels");
  }
  const names = variant.files(options.train ?? true);
  const folders = candidates(variant, options.root);
  for (const folder of folders) {
    const images = pathOf(folder, names.images);
    const labels = pathOf(folder, names.labels);
    if (images === undefined || labels === undefined) continue;
    const limit = { maxBytes: maxFileBytes };
    return check(variant, readIdx(images, limit), readIdx(labels, limit), images, labels);
  }
  const where = folders.length > 4 ? `${folders.slice(0, 4).join(", ")}, …` : folders.join(", ");
  throw new DataError(
    `${variant.name}: no ${names.images} and ${names.labels} (plain or .gz) in ${where}; ` +
      `await ${variant.name}.download("data") fetches them`,
  );
}

function check(
  variant: Variant,
  images: ReturnType<typeof parseIdx>,
  labels: ReturnType<typeof parseIdx>,
  imageFile: string,
  labelFile: string,
) {
  const [count, height, width] = images.shape;
  if (!(images.data instanceof Uint8Array) || images.shape.length !== 3 || height !== side || width !== side) {
    throw new FormatError(
      `${imageFile}: holds ${describe(images)}; ${variant.name} images are uint8 N × ${side} × ${side}`,
    );
  }
  if (!(labels.data instanceof Uint8Array) || labels.shape.length !== 1) {
    throw new FormatError(`${labelFile}: holds ${describe(labels)}; ${variant.name} labels are uint8 N`);
  }
  if (labels.shape[0] !== count) {
    throw new FormatError(`${labelFile}: ${labels.shape[0]} labels for the ${count} images of ${imageFile}`);
  }
  const odd = labels.data.findIndex((label) => label > variant.lastLabel);
  if (odd >= 0)
    throw new FormatError(`${labelFile}: label ${odd} is ${labels.data[odd]}; labels are 0 to ${variant.lastLabel}`);
  return { pixels: images.data.subarray(0, (count as number) * imageBytes), labels: labels.data };
}

const describe = ({ data, shape }: ReturnType<typeof parseIdx>): string =>
  `${data.constructor.name.replace("Array", "").toLowerCase()} ${shape.join(" × ")}`;
