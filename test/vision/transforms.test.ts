/** Transforms and grids against torchvision (test/fixtures/make_vision.py), draws from generators, and what is refused. */
import { readFileSync } from "node:fs";
import { type DType, Generator, manualSeed, rand, type Tensor, tensor, zeros } from "cresset";
import { makeGrid, transforms } from "cresset/vision";
import { describe, expect, it } from "vitest";
import { numbers } from "../ops/numbers.js";

const { functional } = transforms;

interface Case {
  name: string;
  kind: "float32" | "uint8";
  shape: number[];
  args: unknown[];
  out: { shape: number[]; values: number[] };
}
const cases = JSON.parse(readFileSync(new URL("../fixtures/vision.json", import.meta.url), "utf8")) as Case[];

function image(kind: DType, shape: number[]): Tensor {
  const values = numbers(
    shape.reduce((a, b) => a * b, 1),
    21,
  );
  if (kind === "uint8") return tensor(Uint8Array.from(values, (v) => Math.floor(v * 256))).reshape(shape);
  return tensor(Float32Array.from(values)).reshape(shape);
}

const functions = { ...functional, makeGrid } as unknown as Record<
  string,
  (image: Tensor, ...args: unknown[]) => Tensor
>;

describe("agrees with torchvision", () => {
  it.each(
    cases.map((one, i) => [`${i} ${one.name} ${one.kind} (${one.shape}) ${JSON.stringify(one.args)}`, one] as const),
  )("%s", (_, { name, kind, shape, args, out }) => {
    const result = functions[name]!(image(kind, shape), ...args);
    expect(result.shape).toEqual(out.shape);
    const values = Array.from(result.toTypedArray(), Number);
    // torchvision resamples uint8 in two rounded passes, and colours go through other formulas: one step of 256 apart.
    const tolerance = result.dtype === "uint8" ? (["resize", "resizedCrop", "adjustHue"].includes(name) ? 1 : 0) : 3e-6;
    const worst = Math.max(...values.map((value, i) => Math.abs(value - out.values[i]!)));
    expect(worst).toBeLessThanOrEqual(tolerance * (name === "normalize" ? 10 : 1));
  });
});

const chance = (seed: number) => ({ generator: new Generator().manualSeed(seed) });
const gray = (height: number, width: number) =>
  tensor(Float32Array.from({ length: height * width }, (_, i) => i)).reshape(1, height, width);

describe("transforms that draw", () => {
  it("give the same for the same seed, and by default follow manualSeed", () => {
    const make = (options: transforms.ChanceOptions) =>
      new transforms.Compose([
        new transforms.RandomResizedCrop(8, options),
        new transforms.RandomHorizontalFlip(options),
        new transforms.RandomRotation(30, { interpolation: "bilinear", ...options }),
        new transforms.RandomAffine(10, {
          translate: [0.1, 0.2],
          scale: [0.9, 1.1],
          shear: [
            [-5, 5],
            [-3, 3],
          ],
          ...options,
        }),
        new transforms.ColorJitter({ brightness: 0.4, contrast: [0.5, 1.5], saturation: 0.3, hue: 0.2, ...options }),
        new transforms.RandomApply([new transforms.RandomVerticalFlip({ p: 1, ...options })], options),
        new transforms.RandomGrayscale({ p: 0.5, ...options }),
      ]);
    const picture = rand([3, 20, 16], chance(1));
    const run = (options: transforms.ChanceOptions) => Array.from({ length: 3 }, () => make(options).forward(picture));
    const [a, b, other] = [run(chance(4)), run(chance(4)), run(chance(5))];
    for (const [i, image] of a.entries()) {
      expect(image.shape).toEqual([3, 8, 8]);
      expect(image.equal(b[i]!)).toBe(true);
    }
    expect(a[0]!.equal(a[1]!)).toBe(false);
    expect(a[0]!.equal(other[0]!)).toBe(false);
    manualSeed(9);
    const c = run({});
    manualSeed(9);
    expect(run({})[2]!.equal(c[2]!)).toBe(true);
  });

  it("flip as often as they say", () => {
    const flip = new transforms.RandomHorizontalFlip({ p: 0.25, ...chance(2) });
    const image = gray(1, 2);
    const flipped = Array.from({ length: 2000 }, () => flip.forward(image).get([0, 0, 0])).filter(
      (first) => first === 1,
    );
    expect(flipped.length / 2000).toBeCloseTo(0.25, 1);
    expect(new transforms.RandomVerticalFlip({ p: 1 }).forward(gray(2, 1)).tolist()).toEqual([[[1], [0]]]);
    expect(new transforms.RandomHorizontalFlip({ p: 0 }).forward(image)).toBe(image);
  });

  it("crop every place there is, padding included", () => {
    const crop = new transforms.RandomCrop(2, { padding: 1, ...chance(3) });
    const corners = new Set(Array.from({ length: 400 }, () => crop.forward(gray(2, 2).add(1)).toTypedArray().join()));
    expect(corners.size).toBe(9);
    expect(corners).toContain("0,0,0,1");
    expect(corners).toContain("1,2,3,4");
    expect(() => new transforms.RandomCrop([5, 1]).forward(gray(4, 4))).toThrow(
      "RandomCrop: 5 × 1 of an image of 4 × 4 with padding 0",
    );
  });

  it("crop areas and aspects of their ranges", () => {
    const image = gray(40, 40);
    const crop = new transforms.RandomResizedCrop([4, 4], {
      scale: [0.25, 0.25],
      ratio: [1, 1],
      interpolation: "nearest",
      ...chance(6),
    });
    for (let i = 0; i < 20; i++) {
      const part = crop.forward(image);
      // A part of 20 × 20, shrunk to 4 × 4: neighbours are 5 pixels apart.
      expect(part.get([0, 0, 1]) - part.get([0, 0, 0])).toBe(5);
      expect(part.get([0, 1, 0]) - part.get([0, 0, 0])).toBe(200);
    }
    // No part has such an aspect: the largest from the middle.
    expect(
      new transforms.RandomResizedCrop([1, 2], { scale: [1, 1], ratio: [2, 2], interpolation: "nearest" })
        .forward(gray(4, 4))
        .tolist(),
    ).toEqual([[[4, 6]]]);
  });

  it.each([
    ["a probability", () => new transforms.RandomHorizontalFlip({ p: 1.5 }), /p is 1.5; it must be from 0 to 1/],
    ["degrees", () => new transforms.RandomRotation([3, 1]), /degrees is from 3 to 1/],
    ["a scale", () => new transforms.RandomAffine(0, { scale: [0, 1] }), /scale is from 0 to 1/],
    ["a translation", () => new transforms.RandomAffine(0, { translate: [2, 0] }), /parts are from 0 to 1/],
    ["a hue", () => new transforms.ColorJitter({ hue: 0.7 }), /hue is from -0.7 to 0.7/],
    ["a brightness", () => new transforms.ColorJitter({ brightness: -1 }), /brightness is from -1 to 0/],
  ])("refuse %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});

describe("transforms", () => {
  it("chain with functions; ToTensor scales bytes and gives grey images a channel", () => {
    const chain = new transforms.Compose([
      new transforms.ToTensor(),
      new transforms.Resize(2),
      (image: Tensor) => image.mul(2),
      new transforms.Lambda((image) => image.sub(1)),
      new transforms.ToDtype("float64"),
    ]);
    const out = chain.forward(tensor(new Uint8Array(16).fill(255)).reshape(4, 4));
    expect([out.dtype, out.shape, out.tolist()]).toEqual([
      "float64",
      [1, 2, 2],
      [
        [
          [1, 1],
          [1, 1],
        ],
      ],
    ]);
    expect(new transforms.CenterCrop(1).call(gray(3, 3)).item()).toBe(4);
    expect(new transforms.Grayscale(3).forward(zeros([1, 2, 2])).shape).toEqual([3, 2, 2]);
    expect(new transforms.Normalize([0.5], [0.5]).forward(tensor([[0, 1]])).tolist()).toEqual([[-1, 1]]);
  });

  it.each([
    ["no image", () => functional.resize(tensor([1]), 2), /an image has shape \(…, H, W\), not \(1\)/],
    ["an empty image", () => functional.resize(zeros([1, 0, 3]), 2), /has no pixel/],
    ["no size", () => functional.resize(zeros([1, 3, 3]), 0), /size \(0, 0\)/],
    ["bools between pixels", () => functional.resize(zeros([1, 3, 3], { dtype: "bool" }), 2), /use "nearest"/],
    [
      "an interpolation",
      () => functional.rotate(zeros([1, 3, 3]), 1, { interpolation: "cubic" as never }),
      /bilinear or nearest/,
    ],
    ["an angle", () => functional.rotate(zeros([1, 3, 3]), Number.NaN), /angle is NaN/],
    ["a scale", () => functional.affine(zeros([1, 3, 3]), { scale: 0 }), /scale is 0/],
    ["two channels", () => functional.adjustHue(zeros([2, 3, 3]), 0.1), /\(…, 1 or 3, H, W\), not \(2, 3, 3\)/],
    ["a factor", () => functional.adjustBrightness(zeros([3, 3, 3]), -1), /must not be negative/],
    [
      "integers to normalise",
      () => functional.normalize(zeros([3, 1, 1], { dtype: "uint8" }), [0], [1]),
      /scale it to floats first/,
    ],
    ["a std of 0", () => functional.normalize(zeros([3, 1, 1]), [0], [0]), /must not be 0/],
    [
      "two means of three",
      () => functional.normalize(zeros([3, 1, 1]), [0, 1], [1]),
      /2 values of mean for 3 channels/,
    ],
    [
      "another dtype to scale",
      () => functional.toDtype(zeros([1], { dtype: "int32" }), "float32", { scale: true }),
      /not from int32/,
    ],
    ["no images", () => makeGrid([]), /there are no images/],
    ["a lambda without a tensor", () => new transforms.Lambda(() => 3 as never).forward(zeros([1])), /gave no tensor/],
  ])("refuse %s", (_, act, message) => {
    expect(act).toThrow(message);
  });

  it("grids take lists of grey images", () => {
    expect(makeGrid([zeros([2, 2]), zeros([2, 2])], { padding: 0 }).shape).toEqual([3, 2, 4]);
    expect(makeGrid(zeros([4, 2, 2]), { nrow: 2, padding: 1 }).shape).toEqual([3, 7, 7]);
  });
});
