/**
 * Printing is PyTorch 2.13's, character for character, but for what docs/from-pytorch.md says: names of suffixes in camel
 * case, true and false, dtypes without "torch.", and int32 unmarked where PyTorch leaves int64 unmarked.
 */
import { inspect } from "node:util";
import * as torch from "cresset";
import { afterEach, beforeAll, describe, expect, it } from "vitest";

const { tensor } = torch;
const inf = Number.POSITIVE_INFINITY;
const nan = Number.NaN;
const upTo = (n: number): torch.Tensor => torch.arange(0, n, 1, { dtype: "float32" });
const integers = (values: number[] | number[][]): torch.Tensor => tensor(values, { dtype: "int32" });

/** Strips the indentation that the test's own lines have, and the first and last line break. */
const text = (parts: TemplateStringsArray): string =>
  (parts[0] as string).replace(/^\n|\n *$/g, "").replace(/^ {8}/gm, "");

/** What is printed → what makes it. */
const cases: [string, string, () => torch.Tensor][] = [
  ["a number", "tensor(3.5000)", () => tensor(3.5)],
  ["a whole number", "tensor(2.)", () => tensor(2)],
  ["an integer", "tensor(7)", () => tensor(7, { dtype: "int32" })],
  ["a boolean", "tensor(true)", () => tensor(true)],
  ["not a number", "tensor(nan)", () => tensor(nan)],
  ["a small number", "tensor(1.0000e-05)", () => tensor(0.00001)],
  ["negative zero", "tensor(-0.)", () => tensor(-0)],
  ["fractions, one negative", "tensor([ 1.0000,  2.5000, -3.2500])", () => tensor([1, 2.5, -3.25])],
  ["whole numbers, one negative", "tensor([ 1.,  2., -3.])", () => tensor([1, 2, -3])],
  ["zeros of both signs", "tensor([ 0., -0., 10.])", () => tensor([0, -0, 10])],
  ["zeros", "tensor([0., 0., 0.])", () => torch.zeros([3])],
  ["a ratio of 1000", "tensor([   1., 1000.])", () => tensor([1, 1000])],
  ["a ratio above 1000", "tensor([1.0000e+00, 1.0010e+03])", () => tensor([1, 1001])],
  ["numbers above 1e8", "tensor([2.0000e+08, 3.0000e+08])", () => tensor([2e8, 3e8])],
  ["mixed magnitudes", "tensor([1.0000e-05, 1.0000e+00, 1.0000e+05])", () => tensor([1e-5, 1, 100000.5])],
  [
    "mixed magnitudes and signs",
    "tensor([-1.0000e-05,  1.0000e+00, -1.0000e+05])",
    () => tensor([-1e-5, 1, -100000.5]),
  ],
  ["numbers below 1e-4", "tensor([1.0000e-05, 2.0000e-05])", () => tensor([1e-5, 2e-5])],
  ["fractions with a ratio above 1000", "tensor([5.0000e-01, 6.0025e+02])", () => tensor([0.5, 600.25])],
  [
    "exponents of three digits",
    "tensor([1.0000e-300, 1.0000e+300], dtype=float64)",
    () => tensor([1e-300, 1e300], { dtype: "float64" }),
  ],
  ["ties, to even", "tensor([ 0.0312,  0.0938, -0.0312])", () => tensor([0.03125, 0.09375, -0.03125])],
  ["ties in exponents", "tensor([1.0000e+05, 1.0000e-03, 2.0002e+05])", () => tensor([100005, 1e-3, 200015])],
  ["infinities among fractions", "tensor([1.5000,    inf,   -inf,    nan])", () => tensor([1.5, inf, -inf, nan])],
  ["infinities among whole numbers", "tensor([1., inf, -inf, nan])", () => tensor([1, inf, -inf, nan])],
  ["infinities alone", "tensor([nan, inf, -inf])", () => tensor([nan, inf, -inf])],
  [
    "infinities among exponents",
    "tensor([1.0000e-09,        inf,       -inf, 1.0000e+00])",
    () => tensor([1e-9, inf, -inf, 1]),
  ],
  ["int8", "tensor([ 1, -2], dtype=int8)", () => tensor([1, -2], { dtype: "int8" })],
  ["uint8", "tensor([[  0, 255]], dtype=uint8)", () => tensor([[0, 255]], { dtype: "uint8" })],
  [
    "int64 beyond 2⁵³",
    "tensor([9007199254740993], dtype=int64)",
    () => torch.fromTypedArray(BigInt64Array.of(9007199254740993n), [1]),
  ],
  ["float64", "tensor([0.1000, 0.2000], dtype=float64)", () => tensor([0.1, 0.2], { dtype: "float64" })],
  ["float16", "tensor([0.1000, 2.0000], dtype=float16)", () => tensor([0.1, 2]).half()],
  ["bfloat16", "tensor([0.1001, 2.0000], dtype=bfloat16)", () => tensor([0.1, 2]).bfloat16()],
  ["nothing", "tensor([])", () => tensor([])],
  ["nothing of a shape", "tensor([], size=(0, 3))", () => torch.zeros([0, 3])],
  ["nothing in the middle", "tensor([], size=(2, 0, 3))", () => torch.zeros([2, 0, 3])],
  ["no integers", "tensor([], dtype=int16)", () => torch.zeros([0], { dtype: "int16" })],
  ["no integers of the default dtype", "tensor([], dtype=int32)", () => torch.zeros([0], { dtype: "int32" })],
  ["a leaf", "tensor([1., 2.], requiresGrad=true)", () => tensor([1, 2], { requiresGrad: true })],
  [
    "a leaf in float64",
    "tensor([1., 2.], dtype=float64, requiresGrad=true)",
    () => tensor([1, 2], { dtype: "float64", requiresGrad: true }),
  ],
  ["a result", "tensor([2., 4.], gradFn=<mul>)", () => tensor([1, 2], { requiresGrad: true }).mul(2)],
  [
    "a summary of booleans",
    "tensor([ true, false,  true,  ..., false,  true, false])",
    () => upTo(1500).remainder(2).eq(0),
  ],
  [
    "integers",
    text`
        tensor([[  1, -20],
                [300,   4]])`,
    () =>
      integers([
        [1, -20],
        [300, 4],
      ]),
  ],
  [
    "booleans",
    text`
        tensor([[ true, false],
                [ true,  true]])`,
    () =>
      tensor([
        [true, false],
        [true, true],
      ]),
  ],
  [
    "a matrix with negative numbers",
    text`
        tensor([[  1.5000, -22.2500],
                [ -3.0000,   4.0000]])`,
    () =>
      tensor([
        [1.5, -22.25],
        [-3, 4],
      ]),
  ],
  [
    "a transposed view",
    text`
        tensor([[0., 3.],
                [1., 4.],
                [2., 5.]])`,
    () => upTo(6).reshape(2, 3).t(),
  ],
  [
    "three dimensions",
    text`
        tensor([[[ 0.,  1.],
                 [ 2.,  3.],
                 [ 4.,  5.]],

                [[ 6.,  7.],
                 [ 8.,  9.],
                 [10., 11.]]])`,
    () => upTo(12).reshape(2, 3, 2),
  ],
  [
    "four dimensions",
    text`
        tensor([[[[0, 1],
                  [2, 3]]],


                [[[4, 5],
                  [6, 7]]]])`,
    () => upTo(8).int().reshape(2, 1, 2, 2),
  ],
  [
    "a long line",
    text`
        tensor([ 0.0000,  1.5000,  3.0000,  4.5000,  6.0000,  7.5000,  9.0000, 10.5000,
                12.0000, 13.5000, 15.0000, 16.5000, 18.0000, 19.5000, 21.0000, 22.5000,
                24.0000, 25.5000, 27.0000, 28.5000, 30.0000, 31.5000, 33.0000, 34.5000,
                36.0000, 37.5000, 39.0000, 40.5000, 42.0000, 43.5000])`,
    () => upTo(30).mul(1.5),
  ],
  [
    "long rows",
    text`
        tensor([[ 0.0000,  0.3333,  0.6667,  1.0000,  1.3333,  1.6667,  2.0000,  2.3333,
                  2.6667,  3.0000,  3.3333,  3.6667,  4.0000,  4.3333,  4.6667,  5.0000,
                  5.3333,  5.6667,  6.0000,  6.3333],
                [ 6.6667,  7.0000,  7.3333,  7.6667,  8.0000,  8.3333,  8.6667,  9.0000,
                  9.3333,  9.6667, 10.0000, 10.3333, 10.6667, 11.0000, 11.3333, 11.6667,
                 12.0000, 12.3333, 12.6667, 13.0000]])`,
    () => upTo(40).reshape(2, 20).div(3),
  ],
  [
    "one element more than a line holds",
    text`
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000, 1.2500, 1.5000, 1.7500, 2.0000,
                2.2500])`,
    () => upTo(10).div(4),
  ],
  [
    "a suffix that does not fit its line",
    text`
        tensor([0.0000, 0.3333, 0.6667, 1.0000, 1.3333, 1.6667, 2.0000, 2.3333, 2.6667],
               dtype=float64, requiresGrad=true)`,
    () => upTo(9).div(3).double().requiresGrad_(),
  ],
  ["1001 elements", "tensor([   0.,    1.,    2.,  ...,  998.,  999., 1000.])", () => upTo(1001)],
  [
    "a summary of fractions",
    "tensor([  0.0000,   0.1250,   0.2500,  ..., 124.7500, 124.8750, 125.0000])",
    () => upTo(1001).div(8),
  ],
  [
    "a summary of a long matrix",
    text`
        tensor([[   0,    1],
                [   2,    3],
                [   4,    5],
                ...,
                [1994, 1995],
                [1996, 1997],
                [1998, 1999]])`,
    () => upTo(2000).int().reshape(1000, 2),
  ],
  [
    "a summary of a wide matrix",
    text`
        tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.9700e+02, 9.9800e+02,
                 9.9900e+02],
                [1.0000e+03, 1.0010e+03, 1.0020e+03,  ..., 1.9970e+03, 1.9980e+03,
                 1.9990e+03]])`,
    () => upTo(2000).reshape(2, 1000),
  ],
  [
    "a summary of three dimensions",
    text`
        tensor([[[   0,    1,    2,  ...,    7,    8,    9],
                 [  10,   11,   12,  ...,   17,   18,   19],
                 [  20,   21,   22,  ...,   27,   28,   29],
                 ...,
                 [  70,   71,   72,  ...,   77,   78,   79],
                 [  80,   81,   82,  ...,   87,   88,   89],
                 [  90,   91,   92,  ...,   97,   98,   99]],

                [[ 100,  101,  102,  ...,  107,  108,  109],
                 [ 110,  111,  112,  ...,  117,  118,  119],
                 [ 120,  121,  122,  ...,  127,  128,  129],
                 ...,
                 [ 170,  171,  172,  ...,  177,  178,  179],
                 [ 180,  181,  182,  ...,  187,  188,  189],
                 [ 190,  191,  192,  ...,  197,  198,  199]],

                [[ 200,  201,  202,  ...,  207,  208,  209],
                 [ 210,  211,  212,  ...,  217,  218,  219],
                 [ 220,  221,  222,  ...,  227,  228,  229],
                 ...,
                 [ 270,  271,  272,  ...,  277,  278,  279],
                 [ 280,  281,  282,  ...,  287,  288,  289],
                 [ 290,  291,  292,  ...,  297,  298,  299]],

                ...,

                [[ 800,  801,  802,  ...,  807,  808,  809],
                 [ 810,  811,  812,  ...,  817,  818,  819],
                 [ 820,  821,  822,  ...,  827,  828,  829],
                 ...,
                 [ 870,  871,  872,  ...,  877,  878,  879],
                 [ 880,  881,  882,  ...,  887,  888,  889],
                 [ 890,  891,  892,  ...,  897,  898,  899]],

                [[ 900,  901,  902,  ...,  907,  908,  909],
                 [ 910,  911,  912,  ...,  917,  918,  919],
                 [ 920,  921,  922,  ...,  927,  928,  929],
                 ...,
                 [ 970,  971,  972,  ...,  977,  978,  979],
                 [ 980,  981,  982,  ...,  987,  988,  989],
                 [ 990,  991,  992,  ...,  997,  998,  999]],

                [[1000, 1001, 1002,  ..., 1007, 1008, 1009],
                 [1010, 1011, 1012,  ..., 1017, 1018, 1019],
                 [1020, 1021, 1022,  ..., 1027, 1028, 1029],
                 ...,
                 [1070, 1071, 1072,  ..., 1077, 1078, 1079],
                 [1080, 1081, 1082,  ..., 1087, 1088, 1089],
                 [1090, 1091, 1092,  ..., 1097, 1098, 1099]]])`,
    () => upTo(1100).int().reshape(11, 10, 10),
  ],
];

describe.each(["native", "wasm"] as const)("%s", (engine) => {
  beforeAll(() => torch.setCpuEngine(engine));
  afterEach(() => torch.setDefaultDType("float32"));

  it.each(cases)("%s", (_, printed, make) => {
    const t = make();
    expect(String(t)).toBe(printed);
    expect(t.toString()).toBe(printed);
    expect(inspect(t)).toBe(printed);
  });

  it("1000 elements are printed whole", () => {
    const printed = String(upTo(1000).int());
    expect(printed).not.toContain("...");
    expect(printed.split("\n").length).toBe(72);
    expect(printed.split("\n")[1]).toBe(
      "         14,  15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25,  26,  27,",
    );
  });

  it("inside other things, as console.log shows them", () => {
    expect(inspect({ weight: tensor([1, 2]) })).toBe("{ weight: tensor([1., 2.]) }");
    expect(`${tensor([1, 2])}`).toBe("tensor([1., 2.])");
  });

  it("the default dtype is the one that goes unmarked", () => {
    torch.setDefaultDType("float64");
    expect(String(tensor([1], { dtype: "float64" }))).toBe("tensor([1.])");
    expect(String(tensor([1], { dtype: "float32" }))).toBe("tensor([1.], dtype=float32)");
  });

  it("leaves no trace on the tensor", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = x.mul(x);
    const { version } = y;
    String(y);
    expect(y.version).toBe(version);
    y.sum().backward();
    expect(x.grad!.tolist()).toEqual([2, 4]);
  });
});
