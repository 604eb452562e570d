/**
 * Convolutions against their definition, on both engines: every stride, padding, dilation and number of groups, sizes around
 * those of tiles and blocks, and gradients to the second order. PyTorch's own values are in the fixtures.
 */
import { beforeAll, describe, expect, it } from "vitest";
import * as torch from "../../src/index.js";
import { DTypeError, nn, ShapeError, type Tensor, ValueError } from "../../src/index.js";
import { difference, engines, make, onEngine, values } from "./cases.js";
import { drawn } from "./numbers.js";

const F = nn.functional;

interface Setting {
  x: number[];
  /** Output channels and the filter's sizes. */
  out: number;
  kernel: number[];
  stride?: number[];
  padding?: number[];
  dilation?: number[];
  groups?: number;
}

const conv = { 1: F.conv1d, 2: F.conv2d, 3: F.conv3d };
const transposed = { 1: F.convTranspose1d, 2: F.convTranspose2d, 3: F.convTranspose3d };

const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
let seed = 1;
const random = (shape: readonly number[], dtype: "float32" | "float64" = "float64"): Tensor =>
  make(drawn(numel(shape), "float64", [seed++, -1, 1]), shape, dtype);

/** Every (output, input, weight) element that meets, for one image and one pair of channels. */
function* meetings(
  input: readonly number[],
  output: readonly number[],
  { kernel, stride, padding, dilation }: Required<Setting>,
): Iterable<[o: number, i: number, w: number]> {
  const dims = kernel.length;
  for (let o = 0; o < numel(output); o++) {
    for (let w = 0; w < numel(kernel); w++) {
      let [restO, restW, i, step, inside] = [o, w, 0, 1, true];
      for (let d = dims - 1; d >= 0; d--) {
        const at = (restO % output[d]!) * stride[d]! + (restW % kernel[d]!) * dilation[d]! - padding[d]!;
        restO = Math.floor(restO / output[d]!);
        restW = Math.floor(restW / kernel[d]!);
        if (at < 0 || at >= input[d]!) inside = false;
        i += at * step;
        step *= input[d]!;
      }
      if (inside) yield [o, i, w];
    }
  }
}

function complete(s: Setting): Required<Setting> {
  const all = (n: number): number[] => s.kernel.map(() => n);
  return { stride: all(1), padding: all(0), dilation: all(1), groups: 1, ...s };
}

const outputOf = (s: Required<Setting>): number[] =>
  s.kernel.map(
    (k, d) => Math.floor((s.x[d + 2]! + 2 * s.padding[d]! - s.dilation[d]! * (k - 1) - 1) / s.stride[d]!) + 1,
  );

/** y = x ⋆ w, and the sums that its transposes are, by the definition. */
function reference(s: Required<Setting>, x: number[], w: number[], g: number[]) {
  const [batch, channels, ...input] = s.x as [number, number, ...number[]];
  const output = outputOf(s);
  const [I, O, K] = [numel(input), numel(output), numel(s.kernel)];
  const [C, M] = [channels / s.groups, s.out / s.groups];
  const y = new Array<number>(batch * s.out * O).fill(0);
  const gx = x.map(() => 0);
  const gw = w.map(() => 0);
  const list = [...meetings(input, output, s)];
  for (let b = 0; b < batch; b++)
    for (let m = 0; m < s.out; m++)
      for (let c = 0; c < C; c++) {
        const yAt = (b * s.out + m) * O;
        const xAt = (b * channels + Math.floor(m / M) * C + c) * I;
        const wAt = (m * C + c) * K;
        for (const [o, i, k] of list) {
          y[yAt + o]! += x[xAt + i]! * w[wAt + k]!;
          gx[xAt + i]! += g[yAt + o]! * w[wAt + k]!;
          gw[wAt + k]! += g[yAt + o]! * x[xAt + i]!;
        }
      }
  return { y, gx, gw };
}

const settings: Setting[] = [
  { x: [2, 3, 5, 7], out: 4, kernel: [3, 3], padding: [1, 1] },
  { x: [2, 3, 5, 7], out: 4, kernel: [3, 2] },
  { x: [1, 1, 1, 1], out: 1, kernel: [1, 1] },
  { x: [2, 2, 9, 8], out: 3, kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  { x: [2, 2, 9, 8], out: 3, kernel: [2, 4], stride: [3, 1], padding: [0, 2] },
  { x: [2, 2, 11, 12], out: 3, kernel: [3, 3], dilation: [2, 3], padding: [2, 1] },
  { x: [2, 2, 13, 14], out: 2, kernel: [3, 4], stride: [2, 3], dilation: [3, 2], padding: [3, 1] },
  { x: [2, 2, 9, 9], out: 3, kernel: [1, 1], stride: [2, 3] },
  { x: [2, 5, 6, 6], out: 7, kernel: [1, 1] },
  { x: [2, 5, 6, 7], out: 33, kernel: [1, 1] },
  { x: [2, 4, 6, 6], out: 6, kernel: [3, 3], groups: 2, padding: [1, 1] },
  { x: [2, 4, 6, 6], out: 8, kernel: [3, 3], groups: 4, padding: [1, 1], stride: [2, 1] },
  { x: [1, 3, 20, 40], out: 5, kernel: [5, 5], padding: [2, 2] },
  { x: [1, 3, 20, 34], out: 5, kernel: [3, 3] },
  { x: [5, 2, 2, 2], out: 3, kernel: [2, 2], padding: [1, 1] },
  { x: [18, 2, 3, 3], out: 3, kernel: [3, 3] },
  { x: [2, 3, 4, 4], out: 2, kernel: [3, 3], padding: [4, 5] },
  { x: [1, 2, 4, 4], out: 2, kernel: [2, 2], stride: [4, 4], padding: [1, 1] },
  { x: [2, 3, 12], out: 4, kernel: [3] },
  { x: [2, 3, 50], out: 4, kernel: [4], stride: [2], padding: [3], dilation: [2] },
  { x: [1, 2, 4, 5, 6], out: 3, kernel: [2, 3, 3], padding: [1, 0, 1] },
  {
    x: [2, 4, 5, 5, 7],
    out: 4,
    kernel: [3, 2, 1],
    stride: [2, 1, 2],
    dilation: [1, 2, 1],
    groups: 2,
    padding: [1, 1, 0],
  },
  // channels around a tile's rows and columns
  ...[13, 14, 15, 29, 31, 32, 33, 65].map((n): Setting => ({ x: [2, 2, 4, 4], out: n, kernel: [2, 2] })),
  // more channels than one block holds
  { x: [1, 130, 4, 5], out: 3, kernel: [3, 3], padding: [1, 1] },
  { x: [2, 460, 3, 3], out: 2, kernel: [1, 1] },
  // more rows than one block holds, more than one thread's share
  { x: [1, 16, 150, 100], out: 16, kernel: [3, 3], padding: [1, 1] },
  { x: [9, 8, 30, 31], out: 12, kernel: [3, 3], padding: [1, 1], stride: [2, 2] },
];

const show = (s: Setting): string =>
  `${s.x.join("×")} → ${s.out}, ${s.kernel.join("×")}` +
  (["stride", "padding", "dilation", "groups"] as const).map((k) => (s[k] ? ` ${k} ${s[k]}` : "")).join("");

describe.each(engines)("%s", (engine) => {
  beforeAll(() => onEngine(engine));

  it.each(settings.map((s) => [show(s), s] as const))("%s", (_, setting) => {
    const s = complete(setting);
    const dims = s.kernel.length as 1 | 2 | 3;
    const output = outputOf(s);
    const wShape = [s.out, s.x[1]! / s.groups, ...s.kernel];
    for (const dtype of ["float64", "float32"] as const) {
      const [x, w, b] = [random(s.x, dtype), random(wShape, dtype), random([s.out], dtype)];
      const g = random([s.x[0]!, s.out, ...output], dtype);
      const expected = reference(s, values(x), values(w), values(g));
      const near = (name: string, t: Tensor, v: number[]): void => {
        const scale = Math.sqrt(Math.max(1, numel(wShape.slice(1))));
        const differs = difference(values(t), v, dtype, (dtype === "float32" ? 3e-6 : 1e-14) * scale * 10);
        expect(differs, `${name} in ${dtype}`).toBeNull();
      };
      for (const t of [x, w, b]) t.requiresGrad_();
      const options = { stride: s.stride, padding: s.padding, dilation: s.dilation, groups: s.groups };
      const y = conv[dims](x, w, b, options);
      const perChannel = numel(output);
      const biases = values(b);
      near(
        "output",
        y,
        expected.y.map((v, i) => v + biases[Math.floor(i / perChannel) % s.out]!),
      );
      y.backward(g);
      near("input gradient", x.grad!, expected.gx);
      near("weight gradient", w.grad!, expected.gw);
      expect(b.grad!.allclose(g.sum([0, ...s.kernel.map((_k, d) => d + 2)]), { rtol: 1e-4, atol: 1e-4 })).toBe(true);
      // The transpose is the input's gradient, computed forward.
      const outputPadding = s.kernel.map(
        (k, d) => s.x[d + 2]! - ((output[d]! - 1) * s.stride[d]! - 2 * s.padding[d]! + s.dilation[d]! * (k - 1) + 1),
      );
      if (outputPadding.every((n, d) => n < Math.max(s.stride[d]!, s.dilation[d]!))) {
        const back = transposed[dims](g, w.detach(), null, { ...options, outputPadding });
        expect(back.shape).toEqual(s.x);
        near("transpose", back, expected.gx);
      }
    }
  });

  it("differentiates twice", () => {
    for (const s of [settings[3]!, settings[6]!, settings[11]!, settings[19]!, settings[20]!].map(complete)) {
      const dims = s.kernel.length as 1 | 2 | 3;
      const small = [1, s.x[1]!, ...s.x.slice(2).map((n) => Math.min(n, 9))];
      const options = { stride: s.stride, padding: s.padding, dilation: s.dilation, groups: s.groups };
      const [x, w, b] = [random(small), random([s.out, s.x[1]! / s.groups, ...s.kernel]), random([s.out])];
      for (const t of [x, w, b]) t.requiresGrad_();
      const forward = (...i: Tensor[]): Tensor => conv[dims](i[0]!, i[1]!, i[2]!, options);
      expect(torch.autograd.gradcheck(forward, [x, w, b])).toBe(true);
      const gradient = (...i: Tensor[]): Tensor[] =>
        torch.autograd
          .grad(
            forward(...i)
              .square()
              .sum(),
            i,
            { createGraph: true },
          )
          .map((t) => t as Tensor);
      expect(torch.autograd.gradcheck(gradient, [x, w, b])).toBe(true);
      const y = random([1, s.out, ...outputOf({ ...s, x: small })]).requiresGrad_();
      const [v, c] = [w.detach().requiresGrad_(), random([s.x[1]!]).requiresGrad_()];
      const back = (...i: Tensor[]): Tensor => transposed[dims](i[0]!, i[1]!, i[2]!, options);
      expect(torch.autograd.gradcheck(back, [y, v, c])).toBe(true);
      const backGradient = (...i: Tensor[]): Tensor[] =>
        torch.autograd
          .grad(
            back(...i)
              .square()
              .sum(),
            i,
            { createGraph: true },
          )
          .map((t) => t as Tensor);
      expect(torch.autograd.gradcheck(backGradient, [y, v, c])).toBe(true);
    }
  });

  it("takes views, no batch, 16-bit floats, and empty batches", () => {
    const x = random([2, 3, 8, 6]);
    const w = random([4, 3, 3, 2]);
    const y = F.conv2d(x, w);
    expect(F.conv2d(x.transpose(2, 3).contiguous().transpose(2, 3), w).equal(y)).toBe(true);
    expect(F.conv2d(x.narrow(0, 1, 1), w).equal(y.narrow(0, 1, 1))).toBe(true);
    expect(F.conv2d(x.select(0, 1), w).equal(y.select(0, 1))).toBe(true);
    const half = F.conv2d(x.to("bfloat16"), w.to("bfloat16"));
    expect(half.dtype).toBe("bfloat16");
    expect(half.to("float64").allclose(y, { rtol: 0.05, atol: 0.05 })).toBe(true);
    const none = torch.zeros([0, 3, 8, 6], { requiresGrad: true, dtype: "float64" });
    const learnt = w.clone().requiresGrad_();
    const empty = F.conv2d(none, learnt);
    expect(empty.shape).toEqual([0, 4, 6, 5]);
    empty.sum().backward();
    expect(learnt.grad!.abs().sum().item()).toBe(0);
    expect(none.grad!.shape).toEqual([0, 3, 8, 6]);
  });

  it("pads so that sizes stay", () => {
    for (const [kernel, dilation] of [
      [[3, 3], 1],
      [[4, 2], 1],
      [[2, 3], 3],
    ] as const) {
      const x = random([1, 1, 7, 9]);
      const w = random([1, 1, ...kernel]);
      const y = F.conv2d(x, w, null, { padding: "same", dilation });
      expect(y.shape).toEqual([1, 1, 7, 9]);
      // By the definition: the smaller half of the zeros before, the rest behind.
      const before = kernel.map((k) => Math.floor((dilation * (k - 1)) / 2));
      const after = kernel.map((k, d) => dilation * (k - 1) - before[d]!);
      const wide = torch.zeros([1, 1, 7 + before[0]! + after[0]!, 9 + before[1]! + after[1]!], { dtype: "float64" });
      wide.narrow(2, before[0]!, 7).narrow(3, before[1]!, 9).copy_(x);
      expect(F.conv2d(wide, w, null, { dilation }).allclose(y)).toBe(true);
    }
  });

  it("does not let what lies beyond a row into the next", () => {
    const x = torch.ones([1, 1, 4, 4]);
    x.set([0, 0, 1, 3], Number.POSITIVE_INFINITY);
    const y = F.conv2d(x, torch.ones([1, 1, 2, 2]));
    expect(y.isfinite().long().tolist()).toEqual([
      [
        [
          [1, 1, 0],
          [1, 1, 0],
          [1, 1, 1],
        ],
      ],
    ]);
    const w = torch.ones([1, 1, 2, 2], { requiresGrad: true });
    F.conv2d(x, w).sum().backward();
    expect(w.grad!.isfinite().long().tolist()).toEqual([
      [
        [
          [1, 0],
          [1, 0],
        ],
      ],
    ]);
  });

  it("says what does not fit, before anything runs", () => {
    const x = torch.zeros([2, 4, 5, 5]);
    const w = torch.zeros([6, 4, 3, 3]);
    expect(() => F.conv2d(x, torch.zeros([6, 3, 3, 3]))).toThrow(
      /conv2d: input \(2, 4, 5, 5\) has 4 channels; .* needs 3/,
    );
    expect(() => F.conv2d(x, w, null, { groups: 4 })).toThrow(ValueError);
    expect(() => F.conv2d(x, torch.zeros([6, 4, 3]))).toThrow(ShapeError);
    expect(() => F.conv2d(torch.zeros([4]), w)).toThrow(ShapeError);
    expect(() => F.conv2d(x, torch.zeros([6, 4, 7, 3]))).toThrow(/larger than the input/);
    expect(() => F.conv2d(x, w, torch.zeros([5]))).toThrow(/bias has shape \(5,\); expected \(6,\)/);
    expect(() => F.conv2d(x, w.double())).toThrow(DTypeError);
    expect(() => F.conv2d(x.int(), w.int())).toThrow(/not defined on int32/);
    expect(() => F.conv2d(x, w, null, { stride: 0 })).toThrow(/stride is a whole number from 1 on/);
    expect(() => F.conv2d(x, w, null, { padding: [1, 1, 1] })).toThrow(ValueError);
    expect(() => F.conv2d(x, w, null, { padding: "same", stride: 2 })).toThrow(/"same" needs stride 1/);
    expect(() => F.convTranspose2d(x, w)).toThrow(/has 4 channels; .* needs 6/);
    expect(() => F.convTranspose2d(torch.zeros([2, 6, 5, 5]), w, null, { outputPadding: 1 })).toThrow(/outputPadding/);
  });
});
