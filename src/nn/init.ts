/**
 * Initialisation: fills tensors in place, without recording it, and gives them back. The rules are torch.nn.init's.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const layer = new nn.Linear(100, 50);
 * nn.init.kaimingNormal_(layer.weight, { nonlinearity: "relu" });
 * nn.init.zeros_(layer.bias!);
 * console.log(Math.abs(layer.weight.std().item() - Math.sqrt(2 / 100)) < 0.01); // true
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/nn.init.html}
 */
import { ShapeError, ValueError } from "../errors.js";
import { eye, type Generator, tensor as makeTensor, noGrad, randn, type Tensor } from "../tensor/index.js";

/** The random numbers to draw from; the default generator's if not given. */
export interface RandomOptions {
  generator?: Generator;
}

/** Names for {@link calculateGain}: what follows the weights. */
export type Nonlinearity = "linear" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

/** Whether the variance is kept on the way forward ("fanIn") or backward ("fanOut"). */
export type FanMode = "fanIn" | "fanOut";

/**
 * The factor by which a nonlinearity shrinks a standard deviation, inverted: 1 for linear and sigmoid, 5/3 for tanh,
 * √2 for ReLU, √(2 / (1 + slope²)) for leaky ReLU (`param` is the slope, 0.01 if not given), 3/4 for SELU.
 */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.SQRT2;
    case "leakyRelu":
      return Math.sqrt(2 / (1 + param * param));
    case "selu":
      return 3 / 4;
    default:
      throw new ValueError(`calculateGain: unknown nonlinearity ${JSON.stringify(nonlinearity)}`);
  }
}

function fill<T extends Tensor>(tensor: T, how: (tensor: Tensor) => void): T {
  noGrad(() => how(tensor));
  return tensor;
}

/** Uniform on a … b. */
export function uniform_<T extends Tensor>(tensor: T, a = 0, b = 1, options: RandomOptions = {}): T {
  return fill(tensor, (t) => t.uniform_(a, b, options));
}

/** Normal with mean and standard deviation. */
export function normal_<T extends Tensor>(tensor: T, mean = 0, std = 1, options: RandomOptions = {}): T {
  return fill(tensor, (t) => t.normal_(mean, std, options));
}

/** Normal, held to a … b: what falls outside is drawn again, in effect. a and b are values, not multiples of std. */
export function truncNormal_<T extends Tensor>(
  tensor: T,
  mean = 0,
  std = 1,
  a = -2,
  b = 2,
  options: RandomOptions = {},
): T {
  if (!(a < b)) throw new ValueError(`truncNormal_: the bounds are empty: ${a} … ${b}`);
  // Inversion: erf maps a normal variable, over √2, to a uniform one on −1 … 1; draw between the images of the bounds.
  return fill(tensor, (t) => {
    const bounds = makeTensor([a, b], { dtype: "float64" })
      .sub(mean)
      .div(std * Math.SQRT2)
      .erf();
    t.uniform_(bounds.get([0]), bounds.get([1]), options);
    t.copy_(
      inverseErf(t)
        .mul(std * Math.SQRT2)
        .add(mean)
        .clamp(a, b),
    );
  });
}

/** S. Winitzki's formula (2008), good to 0.2 %, then two steps of Newton's method. */
function inverseErf(y: Tensor): Tensor {
  const bounded = y.clamp(-1 + 1e-7, 1 - 1e-7);
  const a = 0.147;
  const logarithm = bounded.square().neg().log1p();
  const c = logarithm.div(2).add(2 / (Math.PI * a));
  let x = c.square().sub(logarithm.div(a)).sqrt().sub(c).sqrt().mul(bounded.sign());
  for (let i = 0; i < 2; i++) {
    x = x.sub(
      x
        .erf()
        .sub(bounded)
        .mul(x.square().exp())
        .mul(Math.sqrt(Math.PI) / 2),
    );
  }
  return x;
}

/** All `value`. */
export function constant_<T extends Tensor>(tensor: T, value: number): T {
  return fill(tensor, (t) => t.fill_(value));
}

/** All 1. */
export function ones_<T extends Tensor>(tensor: T): T {
  return constant_(tensor, 1);
}

/** All 0. */
export function zeros_<T extends Tensor>(tensor: T): T {
  return constant_(tensor, 0);
}

/** The identity matrix. Errors: ShapeError if the tensor has not two dimensions. */
export function eye_<T extends Tensor>(tensor: T): T {
  const [rows, columns] = matrix("eye_", tensor);
  return fill(tensor, (t) => t.copy_(eye(rows, columns)));
}

/** The sizes of what one output unit sees, and of what one input unit reaches: weights are (out, in, *kernel). */
function fans(name: string, tensor: Tensor): { fanIn: number; fanOut: number } {
  if (tensor.ndim < 2) {
    throw new ShapeError(
      `${name}: a weight has at least two dimensions, (out, in, …), not (${tensor.shape.join(", ")})`,
    );
  }
  const [out, into, ...kernel] = tensor.shape as [number, number, ...number[]];
  const field = kernel.reduce((product, size) => product * size, 1);
  return { fanIn: into * field, fanOut: out * field };
}

/** Glorot, uniform on ±gain · √(6 / (fanIn + fanOut)). {@link https://proceedings.mlr.press/v9/glorot10a.html} */
export function xavierUniform_<T extends Tensor>(tensor: T, gain = 1, options: RandomOptions = {}): T {
  const { fanIn, fanOut } = fans("xavierUniform_", tensor);
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
  return uniform_(tensor, -bound, bound, options);
}

/** Glorot, normal with standard deviation gain · √(2 / (fanIn + fanOut)). */
export function xavierNormal_<T extends Tensor>(tensor: T, gain = 1, options: RandomOptions = {}): T {
  const { fanIn, fanOut } = fans("xavierNormal_", tensor);
  return normal_(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)), options);
}

/** Options of He's initialisation: `a` is the slope of the leaky ReLU that follows, if one does. */
export interface KaimingOptions extends RandomOptions {
  a?: number;
  mode?: FanMode;
  nonlinearity?: Nonlinearity;
}

function kaimingStd(name: string, tensor: Tensor, options: KaimingOptions): number {
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" } = options;
  const fan = fans(name, tensor)[mode];
  if (fan === undefined) throw new ValueError(`${name}: mode is "fanIn" or "fanOut", not ${JSON.stringify(mode)}`);
  return fan === 0 ? 0 : calculateGain(nonlinearity, a) / Math.sqrt(fan);
}

/** He, uniform on ±gain · √(3 / fan). {@link https://arxiv.org/abs/1502.01852} */
export function kaimingUniform_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  const bound = Math.sqrt(3) * kaimingStd("kaimingUniform_", tensor, options);
  return uniform_(tensor, -bound, bound, options);
}

/** He, normal with standard deviation gain / √fan. */
export function kaimingNormal_<T extends Tensor>(tensor: T, options: KaimingOptions = {}): T {
  return normal_(tensor, 0, kaimingStd("kaimingNormal_", tensor, options), options);
}

/**
 * A random matrix with orthonormal rows or columns (whichever are fewer), times `gain`; dimensions after the first are
 * one. {@link https://arxiv.org/abs/1312.6120}
 */
export function orthogonal_<T extends Tensor>(tensor: T, gain = 1, options: RandomOptions = {}): T {
  if (tensor.ndim < 2) throw new ShapeError("orthogonal_: at least two dimensions are needed");
  const rows = tensor.shape[0] as number;
  if (tensor.numel() === 0) return tensor;
  const columns = tensor.numel() / rows;
  const [few, many] = rows < columns ? [rows, columns] : [columns, rows];
  const vectors = randn([few, many], { dtype: "float64", ...options }).tolist() as number[][];
  // Gram and Schmidt's method, each projection taken twice, which keeps it exact to rounding.
  for (const [i, v] of vectors.entries()) {
    for (const u of [...vectors.slice(0, i), ...vectors.slice(0, i)]) {
      const overlap = dot(u, v);
      for (let k = 0; k < many; k++) v[k] = (v[k] as number) - overlap * (u[k] as number);
    }
    const length = Math.sqrt(dot(v, v));
    for (let k = 0; k < many; k++) v[k] = (v[k] as number) / length;
  }
  const flat = makeTensor(vectors, { dtype: "float64" });
  return fill(tensor, (t) => t.copy_((rows < columns ? flat : flat.t()).mul(gain).reshape(t.shape)));
}

function dot(u: readonly number[], v: readonly number[]): number {
  let sum = 0;
  for (let k = 0; k < u.length; k++) sum += (u[k] as number) * (v[k] as number);
  return sum;
}

function matrix(name: string, tensor: Tensor): [rows: number, columns: number] {
  if (tensor.ndim !== 2) {
    throw new ShapeError(`${name}: a matrix is needed, not a tensor of shape (${tensor.shape.join(", ")})`);
  }
  return tensor.shape as unknown as [number, number];
}
