/**
 * Images of one's own: a folder for each class, read when they are asked for. Reading a file is `image-file.ts`'s business.
 */
import { join, listFolder } from "#files";
import { checkOptions, checkPath } from "../arguments.js";
import { checkIndex, Dataset } from "../data/dataset.js";
import { DataError } from "../errors.js";
import type { Tensor } from "../tensor/index.js";
import { type DecodeOptions, readImage } from "./image-file.js";
import { type AnyTransform, apply } from "./transforms/transform.js";

export interface ImageFolderOptions extends DecodeOptions {
  /** From an image, uint8 (C, H, W), to what a batch is made of: images of one size. */
  transform?: AnyTransform | undefined;
  /** From a class number to a target. */
  targetTransform?: ((target: number) => number) | undefined;
  /** Reads a file; `readImage` by default. */
  loader?: (path: string) => Promise<Tensor>;
  /** Which files are images; by default those whose names end in .png, .jpg, .jpeg, .webp, .gif or .bmp. */
  isImage?: (path: string) => boolean;
}

/** A file and the number of its class. */
export interface ImageSample {
  readonly path: string;
  readonly target: number;
}

const endings = /\.(png|jpe?g|webp|gif|bmp)$/i;

/**
 * `root/cat/1.png`, `root/cat/more/2.jpg`, `root/dog/3.png`: the folders in `root` are the classes, in the order of their
 * names. Items are promised: iterate the loader with `for await`, or give it workers.
 *
 * Errors: DataError when the folder is absent, has no folder, or a class has no image; for a damaged file FormatError, naming
 * it, when it is read.
 *
 * @example
 * const pets = new ImageFolder("pets", { transform: new transforms.Compose([new transforms.Resize([64, 64]), new transforms.ToTensor()]) });
 * for await (const [images, labels] of new DataLoader(pets, { batchSize: 32, shuffle: true })) { … }
 *
 * Source: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
 */
export class ImageFolder extends Dataset<Promise<[Tensor, number]>> {
  readonly root: string;
  /** The names of the classes, by number. */
  readonly classes: readonly string[];
  /** All files, in order. */
  readonly samples: readonly ImageSample[];
  readonly #options: ImageFolderOptions;

  constructor(root: string, options: ImageFolderOptions = {}) {
    super();
    checkPath("ImageFolder", root, "root");
    checkOptions("ImageFolder", options);
    const { isImage = (path: string) => endings.test(path) } = options;
    this.root = root;
    this.#options = options;
    const entries = listFolder(root);
    this.classes = entries.filter(({ folder }) => folder).map(({ name }) => name);
    if (this.classes.length === 0)
      throw new DataError(`ImageFolder: ${root} has no folder; each class has one of its own`);
    const samples = this.classes.map((name, target) =>
      filesBelow(join(root, name))
        .filter(isImage)
        .map((path): ImageSample => ({ path, target })),
    );
    const empty = this.classes.filter((_, target) => samples[target]?.length === 0);
    if (empty.length > 0)
      throw new DataError(`ImageFolder: no image in ${empty.map((name) => join(root, name)).join(", ")}`);
    this.samples = samples.flat();
  }

  /** The number of each class. */
  get classToIdx(): Record<string, number> {
    return Object.fromEntries(this.classes.map((name, i) => [name, i]));
  }

  /** The class numbers of all samples. */
  get targets(): number[] {
    return this.samples.map(({ target }) => target);
  }

  override get length(): number {
    return this.samples.length;
  }

  /** Image `index`, transformed, and its target. */
  override async get(index: number): Promise<[Tensor, number]> {
    checkIndex("ImageFolder", index, this.length);
    const { path, target } = this.samples[index] as ImageSample;
    const { transform, targetTransform, loader = (file: string) => readImage(file, this.#options) } = this.#options;
    const image = await loader(path);
    return [transform === undefined ? image : apply(transform, image), targetTransform?.(target) ?? target];
  }
}

/** All files in a folder and the folders in it, in the order of their names. */
function filesBelow(folder: string): string[] {
  const entries = listFolder(folder);
  const files = entries.filter((entry) => !entry.folder).map(({ name }) => join(folder, name));
  return [...files, ...entries.filter((entry) => entry.folder).flatMap(({ name }) => filesBelow(join(folder, name)))];
}
