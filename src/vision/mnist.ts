/**
 * MNIST, Fashion-MNIST and Kuzushiji-MNIST: found on disk where people keep them, or downloaded. They differ in a name, places
 * and checksums only. Files are found and checked by `idx-images.ts`, fetched by `download.ts`.
 */
import { join } from "#files";
import { checkOptions } from "../arguments.js";
import { type DownloadOptions, downloadAll, type RemoteFile } from "./download.js";
import { parseIdx } from "./idx.js";
import { type FileNames, find, load, type MNISTBytes, type Variant } from "./idx-images.js";
import { LabelledImages } from "./labelled-images.js";

export type { MNISTBytes };

export interface MNISTOptions {
  /**
   * The folder to look in: itself, or `MNIST/raw` below it as torchvision lays it out, or `mnist`. Without it:
   * `$CRESSET_DATA`, `data`, and the user's cache folder, where `cresset mnist` keeps its downloads.
   */
  root?: string | undefined;
  /** The 60,000 training images (the default) or the 10,000 test images. */
  train?: boolean;
}

/** The files of 60,000 images take 47 MB; nothing that calls itself MNIST may take more than this. */
const maxFileBytes = 64 * 2 ** 20;

/** Files that can be fetched. */
interface Published extends Variant {
  readonly mirrors: readonly string[];
  readonly md5: Readonly<Record<string, string>>;
}

const files = (train: boolean): FileNames => {
  const half = train ? "train" : "t10k";
  return { images: `${half}-images-idx3-ubyte`, labels: `${half}-labels-idx1-ubyte` };
};

const digits: Published = {
  name: "MNIST",
  files,
  lastLabel: 9,
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

const fashion: Published = {
  name: "FashionMNIST",
  files,
  lastLabel: 9,
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

const kuzushiji: Published = {
  name: "KMNIST",
  files,
  lastLabel: 9,
  folders: ["KMNIST/raw", "kmnist", "."],
  systemFolders: [],
  mirrors: ["http://codh.rois.ac.jp/kmnist/dataset/kmnist"],
  // Source: torchvision.datasets.KMNIST
  md5: {
    "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
    "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
    "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
    "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
  },
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
  protected static readonly variant: Published = digits;
  readonly classes: readonly string[] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

  constructor(options: MNISTOptions | MNISTBytes = {}) {
    checkOptions(new.target.variant.name, options);
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
    // biome-ignore lint/complexity/noThisInStatic: each class has its own places
    return find(this.variant, options.root, options.train ?? true);
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
  protected static override readonly variant: Published = fashion;
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

/**
 * Cursive Japanese characters, 28×28, ten syllables, laid out as MNIST (Clanuwat et al., 2018).
 *
 * @example
 * await KMNIST.download("data");
 * const train = new KMNIST({ root: "data" });
 */
export class KMNIST extends MNIST {
  protected static override readonly variant: Published = kuzushiji;
  override readonly classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];
}
