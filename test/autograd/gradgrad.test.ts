/** Gradients of gradients: the gradient that `createGraph` records is itself checked against finite differences. */
import * as torch from "cresset";
import { beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const F = torch.nn.functional;
type Tensor = torch.Tensor;
type Inputs = readonly Tensor[];

/** Fixed, irregular numbers in low … high. */
function numbers(shape: readonly number[], low: number, high: number, seed = 1): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const values = Float64Array.from({ length: n }, (_, i) => {
    const x = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
    return low + (high - low) * (x - Math.floor(x));
  });
  return torch.fromTypedArray(values, shape);
}
const input = (shape: readonly number[], low = -1.5, high = 1.5, seed = 1): Tensor =>
  numbers(shape, low, high, seed).requiresGrad_();

/**
 * Checks both orders: gradcheck of f, then of x ↦ Σ wᵢ·∂(u·f)/∂xᵢ, where u and w are fixed. The first gradients are left
 * as several outputs, so that a mixed second derivative cannot hide behind another.
 */
function gradgradcheck(f: (...x: Tensor[]) => Tensor, inputs: Inputs): boolean {
  const first = (...x: Tensor[]): Tensor[] => {
    const y = f(...x);
    const u = numbers(y.shape, 0.5, 1.5, 7);
    const found = torch.autograd.grad(y, x, { gradOutputs: u, createGraph: true, allowUnused: true });
    const terms = found.flatMap((g, i) => (g === null ? [] : [g.mul(numbers(g.shape, 0.5, 1.5, 11 + i)).sum()]));
    // A gradient that does not depend on x has no graph: zero is then the right second derivative.
    return terms.map((t) => (t.requiresGrad ? t : t.add((x[0] as Tensor).sum().mul(0))));
  };
  return torch.autograd.gradcheck(f, inputs) && torch.autograd.gradcheck(first, inputs, { eps: 1e-5, atol: 1e-4 });
}

const positive = (): Inputs => [input([2, 3], 0.4, 2)];
const any = (): Inputs => [input([2, 3])];
const inside = (): Inputs => [input([2, 3], -0.8, 0.8)];
const two = (low = -1.5, high = 1.5): Inputs => [input([2, 3], low, high), input([3], low, high, 2)];

/** name, function, inputs */
type Case = readonly [string, (...x: Tensor[]) => Tensor, () => Inputs];

const unary: Case[] = [
  ...(["exp", "exp2", "expm1", "sin", "cos", "atan", "sinh", "cosh", "tanh", "asinh", "sigmoid", "erf"] as const).map(
    (name): Case => [name, (x) => x[name](), any],
  ),
  ...(["neg", "square"] as const).map((name): Case => [name, (x) => x[name](), any]),
  ...(["log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "abs"] as const).map(
    (name): Case => [name, (x) => x[name](), positive],
  ),
  ...(["tan", "asin", "acos", "atanh"] as const).map((name): Case => [name, (x) => x[name](), inside]),
  ["acosh", (x) => x.acosh(), () => [input([2, 3], 1.3, 3)]],
  ["gelu", (x) => F.gelu(x), any],
  ["gelu tanh", (x) => F.gelu(x, { approximate: "tanh" }), any],
  ["silu", (x) => F.silu(x), any],
  ["elu", (x) => F.elu(x), any],
  ["softplus", (x) => F.softplus(x), any],
  ["leakyRelu", (x) => F.leakyRelu(x, 0.1), any],
  ["leakyRelu after square", (x) => F.leakyRelu(x.mul(x).sub(1), 0.1), any],
  ["relu after square", (x) => x.mul(x).sub(1).relu().square(), any],
  ["clamp", (x) => x.pow(3).clamp(-0.7, 0.9), any],
];

const binary: Case[] = [
  ["add", (x, y) => x.mul(x).add(y.mul(y)), two],
  ["mul, broadcast", (x, y) => x.mul(y), two],
  ["mul by itself", (x) => x.mul(x).mul(x), any],
  ["div, broadcast", (x, y) => x.div(y), () => two(0.6, 2)],
  ["pow by a number", (x) => x.pow(2.5), positive],
  ["pow by a whole number", (x) => x.pow(3), any],
  ["pow by 2", (x) => x.pow(2), any],
  ["pow by -1", (x) => x.pow(-1), positive],
  ["pow by a tensor", (x, y) => x.pow(y), () => two(0.6, 2)],
  ["atan2", (x, y) => x.atan2(y), () => two(0.6, 2)],
  ["maximum", (x, y) => x.square().maximum(y.square()), two],
  ["minimum", (x, y) => x.square().minimum(y.square()), two],
  ["where", (x, y) => torch.where(x.detach().gt(0), x.pow(3), y.pow(3)), two],
  ["maskedFill", (x) => x.pow(3).maskedFill(x.detach().gt(0.3), 2), any],
  ["lerp", (x, y) => x.lerp(y.square(), x), two],
  ["addcmul", (x, y) => x.addcmul(x, y, { value: 0.3 }), two],
  ["addcdiv", (x, y) => x.addcdiv(x, y, { value: 0.3 }), () => two(0.6, 2)],
];

const reductions: Case[] = [
  ["sum", (x) => x.exp().sum(), any],
  ["sum over a dimension", (x) => x.sum(1).square(), any],
  ["mean", (x) => x.mean(0, { keepdim: true }).exp(), any],
  ["prod", (x) => x.prod(), positive],
  ["prod over a dimension", (x) => x.prod(1), any],
  ["var", (x) => x.var(), any],
  ["var over a dimension", (x) => x.var(1, { correction: 0 }), any],
  ["std", (x) => x.std(1), any],
  ["norm", (x) => x.norm(), any],
  ["norm over a dimension", (x) => x.norm(2, 1), any],
  ["norm of order 3", (x) => x.norm(3), any],
  ["norm of order 1", (x) => x.mul(x).norm(1), positive],
  ["logsumexp", (x) => x.logsumexp(1), any],
  ["logsumexp over all", (x) => x.logsumexp([0, 1]), any],
  ["softmax", (x) => x.softmax(1), any],
  ["softmax of columns", (x) => x.softmax(0), any],
  ["logSoftmax", (x) => x.logSoftmax(1), any],
  ["amax", (x) => x.pow(3).amax(1), any],
  ["max with indices", (x) => x.pow(3).max(1).values, any],
  ["cumsum", (x) => x.cumsum(1).square(), any],
  ["cumprod", (x) => x.cumprod(1), any],
  [
    "sort",
    (x) =>
      x
        .pow(3)
        .sort(1)
        .values.mul(numbers([2, 3], 0.5, 1.5, 3)),
    any,
  ],
  ["layerNorm", (x) => F.layerNorm(x, [3]), any],
  ["layerNorm, affine", (x, w, b) => F.layerNorm(x, [3], w, b), () => [...two(), input([3], -1, 1, 3)]],
  [
    "layerNorm over two dimensions, affine",
    (x, w, b) => F.layerNorm(x, [2, 3], w, b),
    () => [input([2, 2, 3]), input([2, 3], 0.5, 1.5, 2), input([2, 3], -1, 1, 3)],
  ],
];

const product =
  (...shapes: number[][]) =>
  (): Inputs =>
    shapes.map((s, i) => input(s, -1.5, 1.5, i + 1));
const products: Case[] = [
  ["matmul", (x, y) => x.matmul(y), product([2, 3], [3, 2])],
  ["matmul with a transpose", (x, y) => x.matmul(y.t()), product([2, 3], [2, 3])],
  ["matmul of a vector", (x, y) => x.matmul(y), product([2, 3], [3])],
  ["matmul, broadcast", (x, y) => x.matmul(y), product([2, 1, 2, 3], [2, 3, 2])],
  ["bmm", (x, y) => x.bmm(y), product([2, 2, 3], [2, 3, 2])],
  ["dot", (x, y) => x.dot(y).square(), product([4], [4])],
  ["outer", (x, y) => x.outer(y), product([2], [3])],
  ["addmm", (z, x, y) => z.addmm(x, y, { beta: 0.5, alpha: 2 }), product([2, 2], [2, 3], [3, 2])],
  ["linear", (x, w, b) => F.linear(x, w, b), product([2, 3], [4, 3], [4])],
  ["linear of a vector", (x, w, b) => F.linear(x, w, b), product([3], [4, 3], [4])],
  ["linear of three dimensions", (x, w, b) => F.linear(x, w, b), product([2, 2, 3], [2, 3], [2])],
  [
    "two layers",
    (x, v, a, w, b) => F.linear(F.linear(x, v, a).tanh(), w, b).sigmoid(),
    product([2, 3], [3, 3], [3], [2, 3], [2]),
  ],
];

// Made anew in each test, on the engine that it runs on.
const integers = (values: number[] | number[][]): Tensor => tensor(values, { dtype: "int32" });
const places = (): Tensor =>
  integers([
    [0, 2],
    [1, 1],
  ]);
const shapes: Case[] = [
  ["gather", (x) => x.pow(3).gather(1, places()), any],
  ["index by lists", (x) => x.pow(3).index([0, 1, 1], [2, 0, 0]), any],
  ["index by slices", (x) => x.pow(3).index(":", { start: 1 }), any],
  ["index by a mask", (x) => x.pow(3).index(x.detach().gt(0)), any],
  ["indexSelect", (x) => x.pow(3).indexSelect(1, integers([2, 0, 2])), any],
  // Where two sources meet in one place, which one stays is not said, in PyTorch neither.
  [
    "scatter",
    (x, y) =>
      x.square().scatter(
        1,
        integers([
          [0, 2],
          [1, 0],
        ]),
        y.pow(3),
      ),
    product([2, 3], [2, 2]),
  ],
  ["scatterAdd", (x, y) => x.square().scatterAdd(1, places(), y.pow(3)), product([2, 3], [2, 2])],
  ["take", (x) => x.pow(3).take(integers([5, 0, 5])), any],
  ["reshape and transpose", (x) => x.reshape(3, 2).t().pow(3), any],
  ["expand", (x) => x.unsqueeze(0).expand(2, 2, 3).pow(3), any],
  ["cat", (x, y) => torch.cat([x, y.unsqueeze(0)]).pow(3), two],
  ["stack", (x) => torch.stack([x, x.square()], 1).pow(2), any],
  ["flip and roll", (x) => x.flip(1).roll(1, 0).mul(x.square()), any],
  ["diagonal", (x) => x.pow(3).diagonal(), any],
  ["tril", (x) => x.pow(3).tril(), any],
  ["repeat", (x) => x.repeat(2, 1).pow(3), any],
  ["an in-place change", (x) => x.mul(2).mul_(x).exp_(), inside],
  [
    "an in-place change through a view",
    (x) => {
      const y = x.mul(2);
      y.select(0, 1).mul_(x.select(0, 0));
      return y.square();
    },
    any,
  ],
];

const targets = (): Tensor => numbers([2, 3], 0.1, 0.9, 5);
const classes = (): Tensor => integers([2, 0]);
const losses: Case[] = [
  ...(["mean", "sum", "none"] as const).flatMap((reduction): Case[] => [
    [`mseLoss ${reduction}`, (x, y) => F.mseLoss(x, y, { reduction }), product([2, 3], [2, 3])],
    [`bceLoss ${reduction}`, (x) => F.binaryCrossEntropy(x.sigmoid(), targets(), { reduction }), any],
    [`bceWithLogits ${reduction}`, (x) => F.binaryCrossEntropyWithLogits(x, targets(), { reduction }), any],
    [`crossEntropy ${reduction}`, (x) => F.crossEntropy(x, classes(), { reduction }), any],
    [`smoothL1Loss ${reduction}`, (x) => F.smoothL1Loss(x.pow(2), targets(), { reduction, beta: 0.5 }), any],
  ]),
  ["bceLoss of the input itself", (x) => F.binaryCrossEntropy(x, targets()), () => [input([2, 3], 0.2, 0.8)]],
  [
    "bceLoss, weighted, and its target",
    (x, t) => F.binaryCrossEntropy(x, t, { weight: numbers([3], 0.5, 2, 9) }),
    () => [input([2, 3], 0.2, 0.8), input([2, 3], 0.2, 0.8, 2)],
  ],
  [
    "bceWithLogits, posWeight, and its target",
    (x, t) => F.binaryCrossEntropyWithLogits(x, t, { posWeight: numbers([3], 0.5, 2, 9) }),
    () => [input([2, 3]), input([2, 3], 0.2, 0.8, 2)],
  ],
  ["crossEntropy of probabilities", (x, t) => F.crossEntropy(x, t.softmax(1)), product([2, 3], [2, 3])],
  ["crossEntropy, smoothed", (x) => F.crossEntropy(x, classes(), { labelSmoothing: 0.2 }), any],
  ["crossEntropy, weighted", (x) => F.crossEntropy(x, classes(), { weight: numbers([3], 0.5, 2, 9) }), any],
  ["nllLoss", (x) => F.nllLoss(x.logSoftmax(1), classes()), any],
  ["l1Loss", (x) => F.l1Loss(x.pow(3), targets()), any],
];

const groups = { unary, binary, reductions, products, shapes, losses };

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));

  for (const [group, cases] of Object.entries(groups)) {
    describe(group, () => {
      it.each(cases)("%s", (_, f, inputs) => {
        expect(gradgradcheck(f, inputs())).toBe(true);
      });
    });
  }

  it("the check itself finds a second derivative that is wrong", () => {
    class Wrong extends torch.autograd.Function {
      static override forward(ctx: torch.autograd.FunctionContext, x: Tensor): Tensor {
        ctx.saveForBackward(x);
        return x.pow(3);
      }
      static override backward(ctx: torch.autograd.FunctionContext, g: Tensor): Tensor {
        return g.mul(ctx.savedTensors[0]!.detach().square()).mul(3); // right, but it does not depend on x any more
      }
    }
    expect(torch.autograd.gradcheck((x) => Wrong.apply(x), any())).toBe(true);
    expect(() => gradgradcheck((x) => Wrong.apply(x), any())).toThrow(/gradcheck: d\(output 0/);
  });
});

describe("NaN in one row", () => {
  it("stays in that row's gradient: layerNorm without affine parameters", () => {
    const x = torch.tensor(
      [
        [1, 2, 4],
        [Number.NaN, 1, 2],
      ],
      { requiresGrad: true },
    );
    F.layerNorm(x, [3]).square().sum().backward();
    const [clean, spoilt] = x.grad!.tolist() as number[][];
    expect(clean!.every(Number.isFinite)).toBe(true);
    expect(spoilt!.every(Number.isNaN)).toBe(true);
  });
});
