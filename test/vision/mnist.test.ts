/** MNIST and Fashion-MNIST from files: where they are found, what items and batches are, what is refused. */
import { join } from "node:path";
import { DataError, FormatError, type Tensor } from "cresset";
import { DataLoader } from "cresset/data";
import { FashionMNIST, MNIST } from "cresset/vision";
import { describe, expect, expectTypeOf, it } from "vitest";
import { idxBytes, imageFile, labelFile, put, putMnist, temporaryFolder } from "./fixtures.js";

describe("MNIST", () => {
  it.each(["", "MNIST/raw", "mnist"])("is found in root/%s, plain or packed", (place) => {
    for (const packed of [false, true]) {
      const root = temporaryFolder();
      putMnist(join(root, place), "train", [3, 1, 4], packed);
      const train = new MNIST({ root });
      const [image, label] = train.get(1);
      expect(train.length).toBe(3);
      expect([image.dtype, image.shape, label]).toEqual(["uint8", [28, 28], 1]);
      expect(image.reshape([784]).tolist()).toEqual(Array.from({ length: 784 }, (_, i) => (7 + i) % 256));
      expect(() => new MNIST({ root, train: false })).toThrow(/no t10k-images-idx3-ubyte/);
    }
  });

  it("gives batches of uint8 images and int32 labels, exactly typed", () => {
    const root = temporaryFolder();
    putMnist(root, "t10k", [3, 1, 4, 1, 5]);
    const test = new MNIST({ root, train: false });
    for (const [images, labels] of new DataLoader(test, { batchSize: 5, sampler: [4, 0] })) {
      expectTypeOf(images).toEqualTypeOf<Tensor>();
      expectTypeOf(labels).toEqualTypeOf<Tensor>();
      expect([images.dtype, images.shape]).toEqual(["uint8", [2, 28, 28]]);
      expect([labels.dtype, labels.tolist()]).toEqual(["int32", [5, 3]]);
      expect(images.toTypedArray().slice(0, 2)).toEqual(new Uint8Array([28, 29]));
    }
    expect([test.images.dtype, test.images.shape]).toEqual(["uint8", [5, 28, 28]]);
    expect([test.labels.dtype, test.labels.tolist()]).toEqual(["int32", [3, 1, 4, 1, 5]]);
    expect(test.classes.length).toBe(10);
    for (const index of [-1, 5, 0.5, Number.NaN]) expect(() => test.get(index)).toThrow(/MNIST: item .* of 5/);
  });

  it("comes from bytes where there are no folders", () => {
    const test = MNIST.fromBytes({ images: imageFile(2), labels: labelFile([8, 9]) });
    expect(test.length).toBe(2);
    expect(test.labelOf(1)).toBe(9);
    expect(FashionMNIST.fromBytes({ images: imageFile(1), labels: labelFile([0]) }).classes[0]).toBe("T-shirt/top");
  });

  it("says where it looked", () => {
    const root = temporaryFolder();
    expect(() => new MNIST({ root })).toThrow(DataError);
    expect(() => new MNIST({ root })).toThrow(
      new RegExp(`no train-images-idx3-ubyte .* in ${root}/MNIST/raw.*MNIST.download`),
    );
    expect(MNIST.find({ root })).toBeUndefined();
  });

  const wrong: [string, Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["more labels than images", imageFile(2), labelFile([1, 2, 3]), /3 labels for the 2 images/],
    [
      "images of another size",
      idxBytes([1, 2, 2], [1, 2, 3, 4]),
      labelFile([1]),
      /uint8 1 × 2 × 2; MNIST images are uint8 N × 28 × 28/,
    ],
    ["labels for images", labelFile([1]), labelFile([1]), /holds uint8 1; MNIST images/],
    ["images for labels", imageFile(1), imageFile(1), /holds uint8 1 × 28 × 28; MNIST labels/],
    ["a label above 9", imageFile(2), labelFile([1, 10]), /label 1 is 10/],
    ["labels of another type", imageFile(1), idxBytes([1], [0, 0, 0, 1], 0x0c), /holds int32 1/],
  ];
  it.each(wrong)("refuses %s", (_, images, labels, message) => {
    const root = temporaryFolder();
    put(join(root, "train-images-idx3-ubyte"), images);
    put(join(root, "train-labels-idx1-ubyte"), labels);
    expect(() => new MNIST({ root })).toThrow(FormatError);
    expect(() => new MNIST({ root })).toThrow(message);
  });
});

describe("FashionMNIST", () => {
  it("prefers its own folder to MNIST's files beside it", () => {
    const root = temporaryFolder();
    putMnist(root, "train", [1]);
    putMnist(join(root, "FashionMNIST/raw"), "train", [9, 8]);
    expect(new FashionMNIST({ root }).length).toBe(2);
    expect(new FashionMNIST({ root }).classes[9]).toBe("Ankle boot");
    expect(new MNIST({ root }).length).toBe(1);
  });
});

describe.runIf(process.env.CRESSET_DATA !== undefined && MNIST.find({ root: process.env.CRESSET_DATA }) !== undefined)(
  "the real MNIST",
  () => {
    it("is what it is known to be", () => {
      const test = new MNIST({ root: process.env.CRESSET_DATA, train: false });
      expect(test.length).toBe(10_000);
      expect(Array.from({ length: 5 }, (_, i) => test.labelOf(i))).toEqual([7, 2, 1, 0, 4]);
      expect(test.pixelsOf(0).reduce((a, b) => a + b, 0)).toBe(18454);
    });
  },
);
