/**
 * MNIST and Fashion-MNIST: found on disk where people keep them, or downloaded. The two differ in a name, places and
 * checksums only. Files are parsed by `idx.ts`, fetched by `download.ts`.
 */
import { environment, exists, join, userDataFolder } from "#files";
import { DataError, FormatError } from "../errors.js";
import { type DownloadOptions, downloadAll, type RemoteFile } from "./download.js";
import { parseIdx, readIdx } from "./idx.js";
import { imageBytes, LabelledImages, side } from "./labelled-images.js";

export interface MNISTOptions {
  /**
   * The folder to look in: itself, or `MNIST/raw` below it as torchvision lays it out, or `mnist`. Without it:
   * `$CRESSET_DATA`, `data`, and the user's cache folder, where `cresset mnist` keeps its downloads.
   */
  root?: string | undefined;
  /** The 60,000 training images (the default) or the 10,000 test images. */
  train?: boolean;
}

/** The two files of a half of the data, as bytes in memory. */
export interface MNISTBytes {
  images: Uint8Array<ArrayBuffer>;
  labels: Uint8Array<ArrayBuffer>;
}

/** What tells the members of the family apart. */
interface Variant {
  readonly name: string;
  readonly folders: readonly string[];
  readonly systemFolders: readonly string[];
  readonly mirrors: readonly string[];
  readonly md5: Readonly<Record<string, string>>;
}

const digits: Variant = {
  name: "MNIST",
  folders: ["MNIST/raw", "mnist", "."],
  systemFolders: [],
  mirrors: ["https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"],
  // Source: torchvision.datasets.MNIST
  md5: {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
  },
};

const fashion: Variant = {
  name: "FashionMNIST",
  folders: ["FashionMNIST/raw", "fashion-mnist", "."],
  // Debian's package dataset-fashion-mnist
  systemFolders: ["/usr/share/datasets/fashion-mnist"],
  mirrors: [
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
  ],
  // Source: torchvision.datasets.FashionMNIST
  md5: {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
  },
};

/** The files of 60,000 images take 47 MB; nothing that calls itself MNIST may take more than this. */
const maxFileBytes = 64 * 2 ** 20;

const fileNames = (train: boolean) => {
  const half = train ? "train" : "t10k";
  return { images: `${half}-images-idx3-ubyte`, labels: `${half}-labels-idx1-ubyte` };
};

/**
 * Handwritten digits, 28×28, labels 0 to 9 (LeCun, Cortes and Burges, 1998).
 *
 * Items are [image uint8 (28, 28), label]; a `DataLoader` gives [uint8 (B, 28, 28), int32 (B)].
 *
 * Errors: DataError when the files are not found, saying where it looked; FormatError when they are damaged.
 *
 * @example
 * await MNIST.download("data");
 * const train = new MNIST({ root: "data", train: true });
 * const [image, label] = train.get(0);
 */
export class MNIST extends LabelledImages {
  protected static readonly variant: Variant = digits;
  readonly classes: readonly string[] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

  constructor(options: MNISTOptions | MNISTBytes = {}) {
    const { pixels, labels } = load(new.target.variant, options);
    super(pixels, labels);
  }

  /**
   * The data set from the bytes of its two IDX files, unpacked: for a browser, which has no folders.
   *
   * @example
   * const test = MNIST.fromBytes({ images: await bytesOf("t10k-images-idx3-ubyte"), labels: await bytesOf("t10k-labels-idx1-ubyte") });
   */
  static fromBytes(bytes: MNISTBytes): MNIST {
    return new this(bytes);
  }

  /** The folder that holds the wanted half, or undefined. Looks at names only. */
  static find(options: MNISTOptions = {}): string | undefined {
    const names = fileNames(options.train ?? true);
    // biome-ignore lint/complexity/noThisInStatic: each class has its own places
    return candidates(this.variant, options.root).find(
      (folder) => pathOf(folder, names.images) !== undefined && pathOf(folder, names.labels) !== undefined,
    );
  }

  /**
   * Fetches the four files into `root/MNIST/raw`, unpacked, where torchvision would put them; those already there are
   * kept. Mirrors are tried in order, each file's checksum is compared, an interrupted download is resumed, and a file
   * appears only when it is whole. Resolves to the folder.
   *
   * Errors: DataError when no mirror gave the right file, saying what each answered; the signal's reason when aborted.
   */
  static async download(root: string, options: DownloadOptions = {}): Promise<string> {
    // biome-ignore lint/complexity/noThisInStatic: each class has its own files
    const { name, folders, mirrors, md5 } = this.variant;
    const folder = join(root, folders[0] as string);
    const files = Object.entries(md5).map(
      ([file, sum]): RemoteFile => ({
        remote: `${file}.gz`,
        path: join(folder, file),
        md5: options.md5?.[`${file}.gz`] ?? sum,
        maxBytes: maxFileBytes,
        check: (bytes, label) => void parseIdx(bytes, label),
      }),
    );
    await downloadAll(name, files, { ...options, mirrors: options.mirrors ?? mirrors });
    return folder;
  }
}

/**
 * Articles of clothing, 28×28, in ten classes, laid out as MNIST (Xiao, Rasul and Vollgraf, 2017). Also found where
 * Debian's package dataset-fashion-mnist puts it.
 *
 * @example
 * const test = new FashionMNIST({ train: false });
 * test.classes[test.get(0)[1]]; // "Ankle boot"
 */
export class FashionMNIST extends MNIST {
  protected static override readonly variant: Variant = fashion;
  override readonly classes = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
  ];
}

function candidates(variant: Variant, root: string | undefined): string[] {
  if (root !== undefined) return variant.folders.map((folder) => join(root, folder));
  const roots = [environment("CRESSET_DATA"), "data", userDataFolder()].filter((place) => place !== undefined);
  return [...roots.flatMap((place) => candidates(variant, place)), ...variant.systemFolders];
}

/** The file, plain or packed; undefined when neither is there. */
const pathOf = (folder: string, name: string): string | undefined =>
  [join(folder, name), join(folder, `${name}.gz`)].find(exists);

function load(variant: Variant, options: MNISTOptions | MNISTBytes): { pixels: Uint8Array; labels: Uint8Array } {
  if ("images" in options) {
    return check(variant, parseIdx(options.images, "images"), parseIdx(options.labels, "labels"), "images", "labels");
  }
  const names = fileNames(options.train ?? true);
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
  const odd = labels.data.findIndex((label) => label > 9);
  if (odd >= 0) throw new FormatError(`${labelFile}: label ${odd} is ${labels.data[odd]}; labels are 0 to 9`);
  return { pixels: images.data.subarray(0, (count as number) * imageBytes), labels: labels.data };
}

const describe = ({ data, shape }: ReturnType<typeof parseIdx>): string =>
  `${data.constructor.name.replace("Array", "").toLowerCase()} ${shape.join(" × ")}`;
