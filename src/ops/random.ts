/**
 * Random numbers by counter: Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). Number i
 * of a stream depends on the seed and on i alone, so the same seed gives the same numbers on every engine.
 */
import { ValueError } from "../errors.js";
import * as k from "../kernel/expr.js";
import { log } from "../kernel/functions/logarithm.js";
import { polynomial } from "../kernel/functions/shared.js";
import type { Expr } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { capturing, hostNumbers } from "./capture.js";
import { emptyTensor, LoopFamily } from "./core.js";
import { deviceFrom, finish, fromTypedArray, likeOptions, type TensorOptions } from "./creation.js";
import { type DType, defaultInteger, getDefaultDType, isFloating } from "./dtype.js";
import { checkShape, numelOf, type Shape } from "./shape.js";
import { copyInto } from "./view.js";

/**
 * A stream of random numbers. https://pytorch.org/docs/stable/generated/torch.Generator.html
 *
 * ```ts
 * const g = new torch.Generator().manualSeed(7);
 * const x = torch.rand([3], { generator: g });
 * ```
 */
export class Generator {
  private seed_ = 67280421310721; // PyTorch's default seed, too
  private position = 0;

  /** Starts the stream of `seed` (a whole number) at its beginning. */
  manualSeed(seed: number): this {
    if (!Number.isSafeInteger(seed)) throw new ValueError(`manualSeed: ${seed} is not a whole number`);
    capturing()?.refuse("manualSeed");
    this.seed_ = seed;
    this.position = 0;
    return this;
  }
  initialSeed(): number {
    return this.seed_;
  }
  /** Where the stream stands, to be resumed with `setState`. */
  getState(): { seed: number; position: number } {
    return { seed: this.seed_, position: this.position };
  }
  setState(state: { seed: number; position: number }): this {
    this.seed_ = state.seed;
    this.position = state.position;
    return this;
  }
  /** Takes `blocks` blocks of four numbers. @internal */
  advance(blocks: number): [number, number, number, number] {
    const at = this.position;
    this.position += blocks;
    const low = (v: number): number => ((v % 4294967296) + 4294967296) % 4294967296;
    const high = (v: number): number => low(Math.floor(v / 4294967296));
    return [low(this.seed_), high(this.seed_), low(at), high(at)];
  }
}

const shared = new Generator();
export const defaultGenerator = (): Generator => shared;
/** Seeds the shared generator. https://pytorch.org/docs/stable/generated/torch.manual_seed.html */
export function manualSeed(seed: number): Generator {
  shared.manualSeed(seed);
  return shared;
}
const u = (v: number): Expr => k.constant(v >>> 0, "u32");

/** Four words for the counter (position + index). */
function philox(s: (i: number) => Expr): [Expr, Expr, Expr, Expr] {
  let key0 = s(0);
  let key1 = s(1);
  const low = s(2);
  let c0 = k.add(low, k.bitcast(k.index(0), "u32"));
  // Carry into the high word.
  let c1 = k.add(s(3), k.select(k.lt(c0, low), u(1), u(0)));
  let c2: Expr = k.and(low, u(0));
  let c3 = c2;
  for (let round = 0; round < 10; round++) {
    const h0 = k.mulhi(c0, u(0xd2511f53));
    const l0 = k.mul(c0, u(0xd2511f53));
    const h1 = k.mulhi(c2, u(0xcd9e8d57));
    const l1 = k.mul(c2, u(0xcd9e8d57));
    c0 = k.xor(k.xor(h1, c1), key0);
    c1 = l1;
    c2 = k.xor(k.xor(h0, c3), key1);
    c3 = l0;
    key0 = k.add(key0, u(0x9e3779b9));
    key1 = k.add(key1, u(0xbb67ae85));
  }
  return [c0, c1, c2, c3];
}

/** The upper 24 bits as a multiple of 2⁻²⁴ in [0, 1). */
const unit = (bits: Expr): Expr => k.mul(k.cast(k.cast(k.shr(bits, u(8)), "i32"), "f32"), 2 ** -24);

/**
 * cos 2πv and sin 2πv for a multiple v of 2⁻²⁴ in [0, 1): what is left of v after whole quarters is exact, and on an eighth of a turn
 * to either side float32 polynomials (Cephes) are good to an ulp.
 */
function turn(v: Expr): { cos: Expr; sin: Expr } {
  const quarters = k.round(k.mul(v, 4));
  const x = k.mul(k.sub(v, k.mul(quarters, 0.25)), 2 * Math.PI);
  const z = k.mul(x, x);
  const sine = k.add(
    x,
    k.mul(k.mul(x, z), polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1], k.mulAdd)),
  );
  const even = polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2], k.mulAdd);
  const cosine = k.add(k.sub(1, k.mul(z, 0.5)), k.mul(k.mul(z, z), even));
  const q = k.cast(quarters, "i32");
  const odd = k.ne(k.and(q, 1), 0);
  const signed = (value: Expr, half: Expr): Expr =>
    k.bitcast(k.xor(k.bitcast(value, "i32"), k.shl(k.and(half, 2), 30)), "f32");
  return { cos: signed(k.select(odd, sine, cosine), k.add(q, 1)), sin: signed(k.select(odd, cosine, sine), q) };
}

type Draw = (words: readonly Expr[], a: Expr, b: Expr) => readonly Expr[];
const draws = {
  uniform: (w, a, b) => w.map((bits) => k.add(k.mul(unit(bits), k.sub(b, a)), a)),
  // Box–Muller on two pairs: √(−2·ln u)·(cos, sin)(2πv), with u in (0, 1].
  normal: (w, mean, std) => {
    const pair = (x: Expr, y: Expr): Expr[] => {
      const r = k.mul(k.sqrt(k.mul(log(k.sub(1, unit(x)), k.mulAdd), -2)), std);
      const { cos, sin } = turn(unit(y));
      return [k.add(k.mul(r, cos), mean), k.add(k.mul(r, sin), mean)];
    };
    return [...pair(w[0] as Expr, w[1] as Expr), ...pair(w[2] as Expr, w[3] as Expr)];
  },
  // ⌊word·range/2³²⌋ + low, by a high product.
  integer: (w, low, range) =>
    w.map((bits) => k.add(k.bitcast(k.mulhi(bits, k.bitcast(k.cast(range, "i32"), "u32")), "i32"), k.cast(low, "i32"))),
} satisfies Record<string, Draw>;

function family(name: keyof typeof draws, type: "f32" | "i32"): LoopFamily {
  const draw: Draw = draws[name];
  return new LoopFamily(
    { name, build: (_l, s) => draw(philox(s), s(4), s(5)).map((value) => ({ value, per: "element" })) },
    ["u32", "u32", "u32", "u32", type, type],
    true,
  );
}
const families = {
  uniform: family("uniform", "f32"),
  normal: family("normal", "f32"),
  integer: family("integer", "i32"),
};

function drawInto(
  name: keyof typeof draws,
  n: number,
  dtype: DType,
  like: { device: Tensor["device"] },
  g: Generator,
  a: number,
  b: number,
): Tensor {
  const blocks = Math.ceil(n / 4);
  const t = emptyTensor([blocks * 4], dtype, like.device);
  if (n > 0) {
    const at = (i: number): Tensor => t.detach().slice(0, i, undefined, 4);
    const outs = [at(0), at(1), at(2), at(3)];
    families[name].run(
      outs,
      0,
      [blocks],
      [],
      outs.map(() => [4]),
      hostNumbers(() => [...g.advance(blocks), a, b]),
    );
  }
  return t.slice(0, 0, n);
}

export interface RandomOptions extends TensorOptions {
  generator?: Generator;
}

function random(
  name: keyof typeof draws,
  shape: Shape,
  o: RandomOptions | undefined,
  dtype: DType,
  a: number,
  b: number,
): Tensor {
  checkShape(name, shape);
  const flat = drawInto(name, numelOf(shape), dtype, { device: deviceFrom(o) }, o?.generator ?? shared, a, b);
  return finish(flat.reshape([...shape]).detach(), o);
}

/** Uniform on [0, 1). */
export const rand = (shape: Shape, o?: RandomOptions): Tensor =>
  random("uniform", shape, o, o?.dtype ?? getDefaultDType(), 0, 1);
/** Normal with mean 0 and variance 1. */
export const randn = (shape: Shape, o?: RandomOptions): Tensor =>
  random("normal", shape, o, o?.dtype ?? getDefaultDType(), 0, 1);
/** Whole numbers low ≤ v < high, or 0 ≤ v < high where only one bound is given. */
export function randint(high: number, shape: Shape, o?: RandomOptions): Tensor;
export function randint(low: number, high: number, shape: Shape, o?: RandomOptions): Tensor;
export function randint(
  first: number,
  second: number | Shape,
  third?: Shape | RandomOptions,
  fourth?: RandomOptions,
): Tensor {
  const short = typeof second !== "number";
  const low = short ? 0 : first;
  const high = short ? first : second;
  const shape = (short ? second : third) as Shape;
  const o = (short ? third : fourth) as RandomOptions | undefined;
  if (!Number.isInteger(low) || !Number.isInteger(high) || high <= low || high - low >= 2 ** 31) {
    throw new ValueError(`randint: [${low}, ${high}) is not a range of whole numbers below 2^31`);
  }
  return random("integer", shape, o, o?.dtype ?? defaultInteger, low, high - low);
}
/** 0 … n−1 in random order: the order of n random keys. */
export function randperm(n: number, o?: RandomOptions): Tensor {
  if (!Number.isInteger(n) || n < 0) throw new ValueError(`randperm: ${n} is not a count`);
  // Fisher–Yates on the host, from the same stream as every other number.
  const limit = 2 ** 31 - 1;
  const words = randint(0, limit, [n], { ...o, requiresGrad: false, dtype: "int32" }).toTypedArray() as Int32Array;
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(((words[i] as number) / limit) * (i + 1));
    const t = order[i] as number;
    order[i] = order[j] as number;
    order[j] = t;
  }
  return fromTypedArray(order, [n], { ...o, dtype: o?.dtype ?? defaultInteger });
}

export const randLike = (t: Tensor, o?: RandomOptions): Tensor => rand(t.shape, likeOptions(t, o) as RandomOptions);
export const randnLike = (t: Tensor, o?: RandomOptions): Tensor => randn(t.shape, likeOptions(t, o) as RandomOptions);

function refill(name: keyof typeof draws, t: Tensor, a: number, b: number, g?: Generator): Tensor {
  if (!isFloating(t.dtype) && name !== "integer")
    throw new ValueError(`${name}_: needs a floating dtype, not ${t.dtype}`);
  const flat = drawInto(name, t.numel(), t.dtype, t, g ?? shared, a, b);
  copyInto(t, flat.reshape([...t.shape]));
  return t;
}
export const fillUniform = (t: Tensor, from: number, to: number, g?: Generator): Tensor =>
  refill("uniform", t, from, to, g);
export const fillNormal = (t: Tensor, mean: number, std: number, g?: Generator): Tensor =>
  refill("normal", t, mean, std, g);

/** Each entry 1 with probability p (a tensor of probabilities or one number). */
export function bernoulli(p: Tensor, o?: { generator?: Generator }): Tensor {
  return rand(p.shape, { device: p.device, ...(o ?? {}) })
    .lt(p)
    .to(p.dtype);
}

/** `n` draws of a category from weights (last dimension), with replacement or without. */
export function multinomial(
  weights: Tensor,
  n: number,
  o: { replacement?: boolean; generator?: Generator } = {},
): Tensor {
  if (weights.shape.length < 1 || weights.shape.length > 2)
    throw new ValueError("multinomial: weights have one or two dimensions");
  const w = weights.detach().to("float64");
  const last = w.shape.length - 1;
  if (!(o.replacement ?? false)) {
    // Exponential races: the n smallest −ln(u)/w (Efraimidis and Spirakis, 2006).
    const u = rand(w.shape, { dtype: "float64", device: w.device, ...(o.generator ? { generator: o.generator } : {}) });
    return u.neg().log1p().neg().div(w).topk(n, last, { largest: false }).indices;
  }
  const steps = w.cumsum(last);
  const total = steps.narrow(last, (w.shape[last] as number) - 1, 1);
  const u = rand([...w.shape.slice(0, -1), n], {
    dtype: "float64",
    device: w.device,
    ...(o.generator ? { generator: o.generator } : {}),
  });
  return u.mul(total).unsqueeze(-1).ge(steps.unsqueeze(-2)).sum(-1).to(defaultInteger);
}
