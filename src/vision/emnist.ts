/**
 * EMNIST: handwritten letters and digits, laid out as MNIST in six splits. Files are found and checked by `idx-images.ts`,
 * fetched by `download.ts`; all splits come in one zip archive of half a gigabyte.
 */
import { join, writeFileAtomic } from "#files";
import { checkObject, inWords } from "../arguments.js";
import { FormatError, ValueError } from "../errors.js";
import { openArchive, readEntry } from "../io/archive.js";
import { sourceOf } from "../io/tensor-bytes.js";
import { type DownloadOptions, downloadAll } from "./download.js";
import { find, load, type MNISTBytes, type Variant } from "./idx-images.js";
import { imageBytes, LabelledImages, side } from "./labelled-images.js";

export type EMNISTSplit = "byclass" | "bymerge" | "balanced" | "letters" | "digits" | "mnist";

export interface EMNISTOptions {
  /** Digits and letters (byclass); lower case that looks like upper case merged (bymerge, balanced); letters; digits. */
  split: EMNISTSplit;
  /** As for MNIST; the folders below it are `EMNIST/raw` and `emnist`. */
  root?: string | undefined;
  train?: boolean;
}

const digits = [..."0123456789"];
const upper = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
const lower = upper.map((letter) => letter.toLowerCase());
const merged = [...digits, ...upper, ...lower.filter((letter) => !"cijklmopsuvwxyz".includes(letter))];

const classesOf: Readonly<Record<EMNISTSplit, readonly string[]>> = {
  byclass: [...digits, ...upper, ...lower],
  bymerge: merged,
  balanced: merged,
  // Letters are labelled from 1.
  letters: ["N/A", ...lower],
  digits,
  mnist: digits,
};

const archive = "gzip.zip";
// Source: torchvision.datasets.EMNIST
const archiveMd5 = "58c8d27c78d21e728a6bc7b3cc06412e";
const mirrors = ["https://biometrics.nist.gov/cs_links/EMNIST"];
const maxArchiveBytes = 2 ** 30;

function variantOf(split: EMNISTSplit): Variant {
  const classes = Object.hasOwn(classesOf, split) ? classesOf[split] : undefined;
  if (classes === undefined) {
    throw new ValueError(`EMNIST: split is ${inWords(split)}; it is one of ${Object.keys(classesOf).join(", ")}`);
  }
  return {
    name: "EMNIST",
    folders: ["EMNIST/raw", "emnist", "."],
    systemFolders: [],
    files: (train) => {
      const stem = `emnist-${split}-${train ? "train" : "test"}`;
      return { images: `${stem}-images-idx3-ubyte`, labels: `${stem}-labels-idx1-ubyte` };
    },
    lastLabel: classes.length - 1,
  };
}

/**
 * Handwritten letters and digits, 28×28 (Cohen, Afshar, Tapson and van Schaik, 2017). The files hold each image turned over its
 * diagonal; here they stand upright, as MNIST's do.
 *
 * Items are [image uint8 (28, 28), label]; labels of letters are 1 to 26.
 *
 * Errors: ValueError for a split that is none; DataError when the files are not found; FormatError when they are damaged.
 *
 * @example
 * await EMNIST.download("data");
 * const letters = new EMNIST({ split: "letters", root: "data" });
 */
export class EMNIST extends LabelledImages {
  readonly split: EMNISTSplit;
  readonly classes: readonly string[];

  constructor(given: EMNISTOptions | ({ split: EMNISTSplit } & MNISTBytes)) {
    checkObject("EMNIST", "options", given, "an object with split");
    const { split, ...options } = given;
    const { pixels, labels } = load(variantOf(split), options);
    super(upright(pixels), labels);
    this.split = split;
    this.classes = classesOf[split];
  }

  /** The data set from the bytes of its two IDX files, unpacked: for a browser, which has no folders. */
  static fromBytes(split: EMNISTSplit, bytes: MNISTBytes): EMNIST {
    return new EMNIST({ split, ...bytes });
  }

  /** The folder that holds the wanted half of a split, or undefined. Looks at names only. */
  static find({ split, root, train = true }: EMNISTOptions): string | undefined {
    return find(variantOf(split), root, train);
  }

  /**
   * Fetches the archive of all splits, compares its checksum, and puts its files into `root/EMNIST/raw`; an interrupted
   * download is resumed. Resolves to the folder.
   *
   * Errors: DataError when no mirror gave the right file; the signal's reason when aborted.
   */
  static async download(root: string, options: DownloadOptions = {}): Promise<string> {
    const folder = join(root, "EMNIST/raw");
    const names = (Object.keys(classesOf) as EMNISTSplit[]).flatMap((split) =>
      [true, false].flatMap((train) => Object.values(variantOf(split).files(train)).map((name) => `${name}.gz`)),
    );
    const file = {
      remote: archive,
      path: join(folder, names.at(-1) as string),
      md5: options.md5?.[archive] ?? archiveMd5,
      maxBytes: maxArchiveBytes,
      unpack: async (packed: Uint8Array<ArrayBuffer>, url: string) => {
        const entries = await openArchive(sourceOf(packed, url), url, maxArchiveBytes);
        for (const name of names) {
          const entry = entries.get(`gzip/${name}`);
          if (entry === undefined) throw new FormatError(`${url}: the archive has no gzip/${name}`);
          writeFileAtomic(join(folder, name), await readEntry(entry));
        }
      },
    };
    await downloadAll("EMNIST", [file], { ...options, mirrors: options.mirrors ?? mirrors });
    return folder;
  }
}

/** Rows become columns. */
function upright(pixels: Uint8Array): Uint8Array {
  const out = new Uint8Array(pixels.length);
  for (let start = 0; start < pixels.length; start += imageBytes) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) out[start + y * side + x] = pixels[start + x * side + y] as number;
    }
  }
  return out;
}
