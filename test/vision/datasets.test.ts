/** CIFAR-10, KMNIST, EMNIST and folders of images, from small files made here, and their downloads from a loopback server. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { DataError, FormatError, type Tensor, tensor } from "cresset";
import { DataLoader } from "cresset/data";
import {
  CIFAR10,
  EMNIST,
  ImageFolder,
  KMNIST,
  MNIST,
  TransformedDataset,
  transforms,
  writeImage,
} from "cresset/vision";
import { createTar } from "nanotar";
import { describe, expect, it, onTestFinished } from "vitest";
import { writeArchive } from "../../src/io/archive.js";
import { idxBytes, imageFile, labelFile, put, putMnist, temporaryFolder } from "./fixtures.js";

/** A file of CIFAR-10: record i has label i, and pixels (i + plane). */
function cifarFile(count: number, first = 0): Uint8Array {
  const bytes = new Uint8Array(count * 3073);
  for (let i = 0; i < count; i++) {
    bytes[i * 3073] = (first + i) % 10;
    for (let plane = 0; plane < 3; plane++)
      bytes.fill(first + i + plane, i * 3073 + 1 + 1024 * plane, i * 3073 + 1 + 1024 * (plane + 1));
  }
  return bytes;
}
const cifarFiles: Record<string, Uint8Array> = {
  ...Object.fromEntries([1, 2, 3, 4, 5].map((n) => [`data_batch_${n}.bin`, cifarFile(2, 2 * n - 2)])),
  "test_batch.bin": cifarFile(3),
};

async function serve(files: Record<string, Uint8Array>): Promise<{ mirrors: string[]; md5: Record<string, string> }> {
  const server = createServer((request, response) => {
    const body = files[basename(request.url ?? "")];
    if (body === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "Content-Length": body.length }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const md5 = Object.entries(files).map(([name, body]) => [name, createHash("md5").update(body).digest("hex")]);
  return { mirrors: [`http://127.0.0.1:${(server.address() as AddressInfo).port}/data`], md5: Object.fromEntries(md5) };
}

describe("CIFAR10", () => {
  it("reads records in order, as colour images", () => {
    const root = temporaryFolder();
    for (const [name, bytes] of Object.entries(cifarFiles)) put(join(root, "cifar-10-batches-bin", name), bytes);
    const train = new CIFAR10({ root });
    expect(train.length).toBe(10);
    const [image, label] = train.get(7);
    expect([image.dtype, image.shape, label, train.classes[label]]).toEqual(["uint8", [3, 32, 32], 7, "horse"]);
    expect(image.select(1, 0).select(1, 0).tolist()).toEqual([7, 8, 9]);
    const [batch, labels] = train.getBatch([9, 0]);
    expect([batch.shape, labels.tolist()]).toEqual([
      [2, 3, 32, 32],
      [9, 0],
    ]);
    expect(new CIFAR10({ root: join(root, "cifar-10-batches-bin"), train: false }).length).toBe(3);
    expect(CIFAR10.fromBytes([cifarFile(4)]).images.shape).toEqual([4, 3, 32, 32]);
  });

  it("is downloaded, checked and unpacked once", async () => {
    const root = temporaryFolder();
    const tar = createTar(
      Object.entries(cifarFiles).map(([name, data]) => ({ name: `cifar-10-batches-bin/${name}`, data })),
    );
    const served = await serve({ "cifar-10-binary.tar.gz": gzipSync(tar) });
    const folder = await CIFAR10.download(root, served);
    expect(readdirSync(folder).toSorted()).toEqual(Object.keys(cifarFiles).toSorted());
    expect(new CIFAR10({ root }).length).toBe(10);
    await CIFAR10.download(root, { mirrors: [] });
    await expect(CIFAR10.download(temporaryFolder(), { mirrors: served.mirrors })).rejects.toThrow("checksum differs");
  });

  it("an archive that lacks a file, or leads elsewhere, writes nothing", async () => {
    const parent = temporaryFolder();
    const root = join(parent, "data");
    const tar = createTar([
      { name: "cifar-10-batches-bin/data_batch_1.bin", data: cifarFile(1) },
      { name: "../escaped.bin", data: cifarFile(1) },
    ]);
    const served = await serve({ "cifar-10-binary.tar.gz": gzipSync(tar) });
    await expect(CIFAR10.download(root, served)).rejects.toThrow(
      "the archive has no cifar-10-batches-bin/data_batch_2.bin",
    );
    expect(existsSync(join(parent, "escaped.bin"))).toBe(false);
    expect(CIFAR10.find({ root })).toBeUndefined();
  });

  it("says what is wrong with its files", () => {
    expect(() => CIFAR10.fromBytes([new Uint8Array(3074)])).toThrow(
      new FormatError("batch 0: 3074 bytes; records of CIFAR-10 have 3073"),
    );
    expect(() => CIFAR10.fromBytes([cifarFile(1).fill(10, 0, 1)])).toThrow("label 10; labels are 0 to 9");
    expect(() => new CIFAR10({ root: temporaryFolder() })).toThrow(DataError);
  });
});

describe("KMNIST and EMNIST", () => {
  it("KMNIST is found in its own folder", () => {
    const root = temporaryFolder();
    putMnist(join(root, "KMNIST/raw"), "train", [0, 9], true);
    expect(MNIST.find({ root })).toBeUndefined();
    const train = new KMNIST({ root });
    expect([train.length, train.classes[train.labelOf(1)]]).toEqual([2, "wo"]);
  });

  it("EMNIST stands upright, and letters count from 1", () => {
    const root = temporaryFolder();
    put(join(root, "EMNIST/raw/emnist-letters-train-images-idx3-ubyte"), imageFile(2));
    put(join(root, "EMNIST/raw/emnist-letters-train-labels-idx1-ubyte"), labelFile([1, 26]));
    const letters = new EMNIST({ split: "letters", root });
    expect(letters.classes[letters.labelOf(1)]).toBe("z");
    expect(letters.get(0)[0].get([3, 5])).toBe(
      new MNIST({ images: imageFile(1), labels: labelFile([0]) }).get(0)[0].get([5, 3]),
    );
    expect(new EMNIST({ split: "balanced", images: imageFile(1), labels: labelFile([46]) }).classes.length).toBe(47);
    expect(() => EMNIST.fromBytes("digits", { images: imageFile(1), labels: labelFile([10]) })).toThrow(
      "labels are 0 to 9",
    );
    expect(() => new EMNIST({ split: "words" as never })).toThrow("it is one of byclass, bymerge");
    expect(EMNIST.find({ split: "digits", root })).toBeUndefined();
  });

  it("EMNIST is downloaded in one archive", async () => {
    const root = temporaryFolder();
    const names = ["byclass", "bymerge", "balanced", "letters", "digits", "mnist"].flatMap((split) =>
      ["train", "test"].flatMap((half) => [
        `emnist-${split}-${half}-images-idx3-ubyte.gz`,
        `emnist-${split}-${half}-labels-idx1-ubyte.gz`,
      ]),
    );
    const parts: Uint8Array[] = [];
    const entries = names.map((name) => {
      const data = gzipSync(name.includes("images") ? imageFile(1) : labelFile([1]));
      return { name: `gzip/${name}`, size: data.length, chunks: () => [data] };
    });
    await writeArchive(entries, (bytes) => void parts.push(bytes.slice()));
    const folder = await EMNIST.download(root, await serve({ "gzip.zip": Buffer.concat(parts) }));
    expect(readdirSync(folder).toSorted()).toEqual(names.toSorted());
    expect(new EMNIST({ split: "mnist", root, train: false }).labelOf(0)).toBe(1);
  });
});

describe("ImageFolder", () => {
  /** Images of one colour: `cat` red, `dog` blue. */
  async function pets(): Promise<string> {
    const root = temporaryFolder();
    const one = (r: number, b: number, size: number) =>
      tensor([[[r]], [[0]], [[b]]])
        .expand(3, size, size)
        .contiguous();
    for (const [path, image] of [
      ["dog/1.png", one(0, 1, 4)],
      ["cat/b.png", one(1, 0, 6)],
      ["cat/more/c.png", one(0.5, 0, 5)],
    ] as const) {
      await writeImage(image, join(root, path));
    }
    writeFileSync(join(root, "cat/notes.txt"), "no image");
    return root;
  }

  it("knows its classes and files, and reads them when asked", async () => {
    const root = await pets();
    const folder = new ImageFolder(root);
    expect(folder.classes).toEqual(["cat", "dog"]);
    expect(folder.classToIdx).toEqual({ cat: 0, dog: 1 });
    expect(folder.samples.map(({ path }) => path.slice(root.length + 1))).toEqual([
      "cat/b.png",
      "cat/more/c.png",
      "dog/1.png",
    ]);
    expect(folder.targets).toEqual([0, 0, 1]);
    const [image, target] = await folder.get(2);
    expect([image.shape, image.get([2, 0, 0]), target]).toEqual([[3, 4, 4], 255, 1]);
    await expect(folder.get(3)).rejects.toThrow("ImageFolder: item 3 of 3");
  });

  it("goes through a loader, transformed", async () => {
    const transform = new transforms.Compose([new transforms.Resize([2, 2]), new transforms.ToTensor()]);
    const folder = new ImageFolder(await pets(), { transform, targetTransform: (target) => target + 10 });
    const seen: [Tensor, Tensor][] = [];
    for await (const batch of new DataLoader(folder, { batchSize: 2 })) seen.push(batch);
    expect(seen.map(([x, y]) => [x.dtype, x.shape, y.tolist()])).toEqual([
      ["float32", [2, 3, 2, 2], [10, 10]],
      ["float32", [1, 3, 2, 2], [11]],
    ]);
    expect(seen[0]![0].select(1, 0).amax([1, 2]).tolist()).toEqual([1, expect.closeTo(128 / 255, 6)]);
  });

  it("says what is missing or damaged", async () => {
    const root = await pets();
    expect(() => new ImageFolder(join(root, "absent"))).toThrow(DataError);
    expect(() => new ImageFolder(join(root, "dog"))).toThrow("has no folder; each class has one of its own");
    mkdirSync(join(root, "emu"));
    expect(() => new ImageFolder(root)).toThrow(`no image in ${join(root, "emu")}`);
    writeFileSync(join(root, "emu/1.png"), "what");
    await expect(new ImageFolder(root).get(3)).rejects.toThrow(/emu\/1\.png: is no PNG/);
    const own = new ImageFolder(root, {
      isImage: (path) => /\.(png|txt)$/.test(path),
      loader: async () => tensor([1]),
    });
    expect([own.length, (await own.get(1))[0].item()]).toEqual([5, 1]);
  });
});

it("a data set without transforms gets them", () => {
  const bytes = { images: idxBytes([1, 28, 28], new Uint8Array(784).fill(255)), labels: labelFile([4]) };
  const train = new TransformedDataset(new MNIST(bytes), {
    transform: (image) => image.float().div(255),
    targetTransform: (target) => -target,
  });
  const [image, target] = train.get(0);
  expect([train.length, image.get([3, 3]), target]).toEqual([1, 1, -4]);
});
