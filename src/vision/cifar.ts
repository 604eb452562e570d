/**
 * CIFAR-10 in its binary version: found on disk or downloaded. Fetching is `download.ts`'s, unpacking the archive nanotar's.
 *
 * Layout: six files of 10,000 records, each a label and 3 × 32 × 32 bytes: the red, the green, the blue plane.
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html
 */
import { environment, exists, gunzip, join, readFile, userDataFolder, writeFileAtomic } from "#files";
import { checkOptions } from "../arguments.js";
import { DataError, FormatError } from "../errors.js";
import { type DownloadOptions, downloadAll } from "./download.js";
import { LabelledImages } from "./labelled-images.js";

export interface CIFAR10Options {
  /**
   * The folder to look in: itself, or `cifar-10-batches-bin` below it. Without it: `$CRESSET_DATA`, `data`, and the user's
   * cache folder.
   */
  root?: string | undefined;
  /** The 50,000 training images (the default) or the 10,000 test images. */
  train?: boolean;
}

const shape = [3, 32, 32];
const pixelBytes = 3 * 32 * 32;
const recordBytes = 1 + pixelBytes;
const folderName = "cifar-10-batches-bin";
const archive = "cifar-10-binary.tar.gz";
/** On the authors' page. */
const archiveMd5 = "c32a1d4ab5d03f1284b67883e8d87530";
const mirrors = ["https://www.cs.toronto.edu/~kriz"];
/** The archive takes 170 MB, 184 MB unpacked. */
const maxArchiveBytes = 2 ** 28;
const maxFileBytes = 2 ** 26;

const trainFiles = [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`);
const testFiles = ["test_batch.bin"];

/**
 * Photographs of ten kinds of things, 32×32 in colour (Krizhevsky, 2009).
 *
 * Items are [image uint8 (3, 32, 32), label]; a `DataLoader` gives [uint8 (B, 3, 32, 32), int32 (B)].
 *
 * Errors: DataError when the files are not found, saying where it looked; FormatError when they are damaged.
 *
 * @example
 * await CIFAR10.download("data");
 * const train = new CIFAR10({ root: "data" });
 * train.classes[train.get(0)[1]]; // "frog"
 */
export class CIFAR10 extends LabelledImages {
  readonly classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

  constructor(options: CIFAR10Options | { batches: readonly Uint8Array[] } = {}) {
    checkOptions("CIFAR10", options);
    const { pixels, labels } = "batches" in options ? split(options.batches, []) : load(options);
    super(pixels, labels, shape);
  }

  /** The data set from the bytes of its files: for a browser, which has no folders. */
  static fromBytes(batches: readonly Uint8Array[]): CIFAR10 {
    return new CIFAR10({ batches });
  }

  /** The folder that holds the wanted half, or undefined. Looks at names only. */
  static find({ root, train = true }: CIFAR10Options = {}): string | undefined {
    const names = train ? trainFiles : testFiles;
    return candidates(root).find((folder) => names.every((name) => exists(join(folder, name))));
  }

  /**
   * Fetches the archive, compares its checksum, and unpacks it into `root/cifar-10-batches-bin`, as `MNIST.download` does;
   * an interrupted download is resumed. Resolves to the folder.
   *
   * Errors: DataError when no mirror gave the right file; the signal's reason when aborted.
   */
  static async download(root: string, options: DownloadOptions = {}): Promise<string> {
    const folder = join(root, folderName);
    const file = {
      remote: archive,
      // Written last: where it is, all are.
      path: join(folder, "test_batch.bin"),
      md5: options.md5?.[archive] ?? archiveMd5,
      maxBytes: maxArchiveBytes,
      unpack: (packed: Uint8Array<ArrayBuffer>, url: string) => unpack(packed, url, folder),
    };
    await downloadAll("CIFAR10", [file], { ...options, mirrors: options.mirrors ?? mirrors });
    return folder;
  }
}

/** Only the files that are known by name are written, so no name in the archive can lead elsewhere. */
async function unpack(packed: Uint8Array<ArrayBuffer>, url: string, folder: string): Promise<void> {
  const { parseTar } = await import("nanotar");
  const bytes = gunzip(packed, maxArchiveBytes, url);
  let members: Map<string, Uint8Array | undefined>;
  try {
    members = new Map(parseTar(bytes).map((member) => [member.name, "data" in member ? member.data : undefined]));
  } catch (error) {
    throw new FormatError(`${url}: holds no tar archive`, { cause: error });
  }
  for (const name of [...trainFiles, ...testFiles]) {
    const data = members.get(`${folderName}/${name}`);
    if (data === undefined) throw new FormatError(`${url}: the archive has no ${folderName}/${name}`);
    split([data], [`${url}: ${name}`]);
    writeFileAtomic(join(folder, name), data);
  }
}

function candidates(root: string | undefined): string[] {
  const roots = root === undefined ? [environment("CRESSET_DATA"), "data", userDataFolder()] : [root];
  return roots.flatMap((place) => (place === undefined ? [] : [join(place, folderName), place]));
}

function load({ root, train = true }: CIFAR10Options) {
  const folder = CIFAR10.find({ root, train });
  const names = train ? trainFiles : testFiles;
  if (folder === undefined) {
    throw new DataError(
      `CIFAR10: no ${names.join(", ")} in ${candidates(root).join(", ")}; await CIFAR10.download("data") fetches them`,
    );
  }
  const paths = names.map((name) => join(folder, name));
  return split(
    paths.map((path) => readFile(path, maxFileBytes)),
    paths,
  );
}

/** Labels and pixels of all records, each in one block. */
function split(files: readonly Uint8Array[], names: readonly string[]): { pixels: Uint8Array; labels: Uint8Array } {
  for (const [i, { length }] of files.entries()) {
    if (length === 0 || length % recordBytes !== 0) {
      throw new FormatError(`${names[i] ?? `batch ${i}`}: ${length} bytes; records of CIFAR-10 have ${recordBytes}`);
    }
  }
  const count = files.reduce((sum, { length }) => sum + length / recordBytes, 0);
  const pixels = new Uint8Array(count * pixelBytes);
  const labels = new Uint8Array(count);
  let record = 0;
  for (const [i, bytes] of files.entries()) {
    for (let at = 0; at < bytes.length; at += recordBytes, record++) {
      const label = bytes[at] as number;
      if (label > 9) throw new FormatError(`${names[i] ?? `batch ${i}`}: label ${label}; labels are 0 to 9`);
      labels[record] = label;
      pixels.set(bytes.subarray(at + 1, at + recordBytes), record * pixelBytes);
    }
  }
  return { pixels, labels };
}
