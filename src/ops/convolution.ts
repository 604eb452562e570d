/**
 * Convolutions and their transposes, of one to three dimensions. There are three operations, and each is linear in both of its
 * operands, so that the gradients of each are the other two, to any order:
 *
 *   correlate(x, w) → y,   spread(y, w) → x,   weigh(y, x) → w
 *
 * `spread` with a stride is one correlation for each position modulo the stride, each with the taps that reach it: no zeros
 * are inserted and none multiplied. What the kernels do with it is in kernel/convolution.ts.
 */

import { withRegion } from "../autograd/region.js";
import { record, records } from "../autograd/tape.js";
import type { Engine } from "../device/engine.js";
import { DTypeError, ShapeError, ValueError } from "../errors.js";
import { type Geometry, geometry, weightParts } from "../kernel/convolution.js";
import * as k from "../kernel/expr.js";
import type { ConvolutionKernel } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { deviceOf, emptyTensor, LoopFamily, wrap } from "./core.js";
import { fromBytes } from "./creation.js";
import { isFloating, promoteTypes } from "./dtype.js";
import { Executables } from "./executables.js";
import { launch } from "./launch.js";
import { sum } from "./reduce.js";
import { numelOf, type Shape, sameShape, show } from "./shape.js";
import { cast, contiguous, fill, reshape, squeeze, unsqueeze } from "./view.js";
import { surrounded, taps } from "./windows.js";

/** One number for every spatial dimension, or one each. */
export type Sizes = number | readonly number[];

export interface ConvOptions {
  /** Steps between the positions of the filter; 1 if not given. */
  stride?: Sizes;
  /** Zeros around the input; "valid" is none, "same" so many that the output has the input's size (stride 1). */
  padding?: Sizes | "same" | "valid";
  /** Distance between the filter's elements; 1 if not given. */
  dilation?: Sizes;
  /** Parts into which channels are divided, that do not see each other; 1 if not given. */
  groups?: number;
}

export interface ConvTransposeOptions {
  stride?: Sizes;
  padding?: Sizes;
  /** Elements added at the end of each dimension of the output, of the stride many sizes that give the same input size. */
  outputPadding?: Sizes;
  dilation?: Sizes;
  groups?: number;
}

type Triple = readonly [number, number, number];

/** What stays the same between the three operations. */
interface Filter {
  readonly stride: Triple;
  readonly pad: Triple;
  readonly dilation: Triple;
  readonly groups: number;
  readonly key: string;
}

const axes = [0, 1, 2] as const;
const triple = (f: (i: 0 | 1 | 2) => number): Triple => [f(0), f(1), f(2)];

/** `dims` sizes from one or a list, widened to three dimensions in front with `neutral`. */
export function sizesOf(op: string, name: string, value: Sizes, dims: number, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(dims).fill(value) : [...value];
  const sizes = list.length === 1 ? new Array<number>(dims).fill(list[0] as number) : list;
  if (sizes.length !== dims || sizes.some((n) => !Number.isInteger(n) || n < least)) {
    throw new ValueError(
      `${op}: ${name} is a whole number from ${least} on, or ${dims} of them, not ${JSON.stringify(value)}`,
    );
  }
  return sizes;
}
/** Up to three sizes as three, with `neutral` in front. */
export const widen = (sizes: readonly number[], neutral: number): Triple => {
  const all = [...new Array<number>(3 - sizes.length).fill(neutral), ...sizes];
  return [all[0] as number, all[1] as number, all[2] as number];
};

function filterOf(stride: Triple, pad: Triple, dilation: Triple, groups: number): Filter {
  return { stride, pad, dilation, groups, key: `${stride}|${pad}|${dilation}|${groups}` };
}

/** Sizes of a tensor's last three dimensions, and of all five. */
const spatial = (shape: Shape): Triple => [shape[2] as number, shape[3] as number, shape[4] as number];

interface Tap {
  readonly phase: number;
  readonly at: Triple;
  readonly weight: number;
}
interface Plan {
  readonly numbers: Float64Array;
  readonly taps: Tensor;
  /** Where in Y the first element stands. */
  readonly offset: number;
}

const plans = new WeakMap<Engine, Map<string, readonly Plan[]>>();

/** Plans are made once for each combination of shapes, with the taps in the engine's memory. */
function planned(
  like: Tensor,
  key: string,
  make: () => { geometry: Geometry; taps: Tap[]; offset: number }[],
): readonly Plan[] {
  const { device } = like;
  let known = plans.get(device.engine);
  if (known === undefined) {
    known = new Map();
    plans.set(device.engine, known);
  }
  let plan = known.get(key);
  if (plan === undefined) {
    plan = make().map(({ geometry, taps, offset }) => {
      const table = Int32Array.from(taps.flatMap((t) => [t.phase, ...t.at, t.weight]));
      // The table outlives whatever region the first call is in.
      const memory = withRegion(false, () => fromBytes(new Uint8Array(table.buffer), [table.length], "int32", device));
      return { numbers: Float64Array.from(Object.values(geometry)), taps: memory, offset };
    });
    if (known.size >= 512) known.clear();
    known.set(key, plan);
  }
  return plan;
}

/** The numbers in the order of `convolutionNumbers`. */
function geometryOf(o: {
  batch: number;
  groups: number;
  C: number;
  M: number;
  T: number;
  x: Shape;
  stride: Triple;
  pad: Triple;
  phases: Triple;
  halo: Triple;
  w: Triple;
  y: Triple;
  ys: readonly [number, number, number, number, number];
}): Geometry {
  const [d, h, w] = spatial(o.x);
  return {
    batch: o.batch,
    groups: o.groups,
    C: o.C,
    M: o.M,
    T_: o.T,
    X_b: (o.x[1] as number) * d * h * w,
    X_c: d * h * w,
    X_d: d,
    X_h: h,
    X_w: w,
    stride_d: o.stride[0],
    stride_h: o.stride[1],
    stride_w: o.stride[2],
    pad_d: o.pad[0],
    pad_h: o.pad[1],
    pad_w: o.pad[2],
    phases_d: o.phases[0],
    phases_h: o.phases[1],
    phases_w: o.phases[2],
    halo_d: o.halo[0],
    halo_h: o.halo[1],
    halo_w: o.halo[2],
    W_g: o.w[0],
    W_m: o.w[1],
    W_c: o.w[2],
    Y_d: o.y[0],
    Y_h: o.y[1],
    Y_w: o.y[2],
    Ys_b: o.ys[0],
    Ys_m: o.ys[1],
    Ys_d: o.ys[2],
    Ys_h: o.ys[3],
    Ys_w: o.ys[4],
  };
}

/** All positions of a filter of size `kernel`, in order. */
function* positions(kernel: Triple): Iterable<{ at: Triple; flat: number }> {
  let flat = 0;
  for (let d = 0; d < kernel[0]; d++)
    for (let h = 0; h < kernel[1]; h++) for (let w = 0; w < kernel[2]; w++) yield { at: [d, h, w], flat: flat++ };
}

const stridesOf = (channels: number, [d, h, w]: Triple): [number, number, number, number, number] => [
  channels * d * h * w,
  d * h * w,
  h * w,
  w,
  1,
];

/** How `y` (M channels a group) sees `x` (C channels a group) through the filter; the same for both passes. */
function forwardPlan(x: Tensor, w: Shape, y: Shape, f: Filter): Plan {
  return planned(x, `f${x.shape}|${w}|${y}|${f.key}`, () => {
    const kernel = spatial(w);
    const phases = triple((i) => Math.min(f.stride[i], (kernel[i] - 1) * f.dilation[i] + 1));
    const taps = [...positions(kernel)].map(({ at, flat }): Tap => {
      const pos = triple((i) => at[i] * f.dilation[i]);
      const phase = triple((i) => pos[i] % f.stride[i]);
      return {
        phase: (phase[0] * phases[1] + phase[1]) * phases[2] + phase[2],
        at: triple((i) => Math.floor(pos[i] / f.stride[i])),
        weight: flat,
      };
    });
    const T = taps.length;
    const C = w[1] as number;
    const M = (w[0] as number) / f.groups;
    const out = spatial(y);
    const geometry = geometryOf({
      batch: x.shape[0] as number,
      groups: f.groups,
      C,
      M,
      T,
      x: x.shape,
      stride: f.stride,
      pad: f.pad,
      phases,
      halo: triple((i) => Math.max(0, ...taps.map((t) => t.at[i]))),
      w: [M * C * T, C * T, T],
      y: out,
      ys: stridesOf(y[1] as number, out),
    });
    return [{ geometry, taps, offset: 0 }];
  })[0] as Plan;
}

/** One plan for each position of x modulo the stride. Here the planes are made of y, and x is what is written. */
function backwardPlans(y: Tensor, w: Shape, x: Shape, f: Filter): readonly Plan[] {
  return planned(y, `b${y.shape}|${w}|${x}|${f.key}`, () => {
    const kernel = spatial(w);
    const into = spatial(x);
    const T = numelOf(kernel);
    const C = w[1] as number;
    const M = (w[0] as number) / f.groups;
    const out: { geometry: Geometry; taps: Tap[]; offset: number }[] = [];
    const whole = stridesOf(x[1] as number, into);
    for (const { at: first } of positions(triple((i) => Math.min(f.stride[i], into[i])))) {
      const reaching = [...positions(kernel)].flatMap(({ at, flat }) => {
        const distance = triple((i) => first[i] + f.pad[i] - at[i] * f.dilation[i]);
        if (axes.some((i) => distance[i] % f.stride[i] !== 0)) return [];
        return [{ at: triple((i) => distance[i] / f.stride[i]), flat }];
      });
      const lowest = triple((i) =>
        Math.min(...(reaching.length > 0 ? reaching : [{ at: [0, 0, 0] }]).map((t) => t.at[i] as number)),
      );
      const taps = reaching.map((t): Tap => ({ phase: 0, at: triple((i) => t.at[i] - lowest[i]), weight: t.flat }));
      const geometry = geometryOf({
        batch: y.shape[0] as number,
        groups: f.groups,
        C: M,
        M: C,
        T: taps.length,
        x: y.shape,
        stride: [1, 1, 1],
        pad: triple((i) => 0 - lowest[i]),
        phases: [1, 1, 1],
        halo: triple((i) => Math.max(0, ...taps.map((t) => t.at[i]))),
        w: [M * C * T, T, C * T],
        y: triple((i) => Math.ceil((into[i] - first[i]) / f.stride[i])),
        ys: [whole[0], whole[1], whole[2] * f.stride[0], whole[3] * f.stride[1], f.stride[2]],
      });
      out.push({ geometry, taps, offset: first[0] * whole[2] + first[1] * whole[3] + first[2] });
    }
    return out;
  });
}

const executables = new Executables();

function run(
  pass: ConvolutionKernel["pass"],
  plan: Plan,
  x: Tensor,
  w: Tensor,
  y: Tensor,
  bias: Tensor | null,
  units: number,
): void {
  const { engine } = x.device;
  const type = x.dtype as "float32" | "float64";
  const e = executables.get(engine, `${pass}${type}${bias !== null}`, () => {
    return { kind: "convolution", name: pass, type, pass, bias: bias !== null };
  });
  const operands = bias === null ? [x, w, y, plan.taps] : [x, w, y, plan.taps, bias];
  const offsets = operands.map((t) => t.offset);
  if (pass === "correlate") offsets[2] = y.offset + plan.offset;
  launch(
    engine,
    e,
    operands.map((t) => t.buffer),
    offsets,
    plan.numbers,
    plan.numbers.length,
    units,
    0,
  );
}

/** x (b, C, …) and w (M, C/groups, …) to y of the given shape, plus the bias. */
function correlate(x: Tensor, w: Tensor, bias: Tensor | null, f: Filter, to: Shape): Tensor {
  const y = emptyTensor(to, x.dtype, x.device);
  if (y.numel() > 0) {
    const [a, b] = [contiguous(x.detach()), contiguous(w.detach())];
    run("correlate", forwardPlan(a, b.shape, to, f), a, b, y, bias === null ? null : contiguous(bias.detach()), 1);
  }
  if (records([x, w, bias])) {
    record("convolution", [x, w, bias], [y], [w.requiresGrad ? x : null, x.requiresGrad ? w : null], ([grad], node) => {
      const g = grad as Tensor;
      return [
        x.requiresGrad ? spread(g, node.input(1), null, f, x.shape) : null,
        w.requiresGrad ? weigh(g, node.input(0), f, w.shape) : null,
        bias?.requiresGrad === true ? sum(g, [0, 2, 3, 4]) : null,
      ];
    });
  }
  return y;
}

/** The transpose of `correlate` in x: y (b, M, …) and w to x of the given shape, plus the bias. */
function spread(y: Tensor, w: Tensor, bias: Tensor | null, f: Filter, to: Shape): Tensor {
  const x = emptyTensor(to, y.dtype, y.device);
  if (x.numel() > 0) {
    const [a, b] = [contiguous(y.detach()), contiguous(w.detach())];
    const c = bias === null ? null : contiguous(bias.detach());
    for (const plan of backwardPlans(a, b.shape, to, f)) run("correlate", plan, a, b, x, c, 1);
  }
  if (records([y, w, bias])) {
    record(
      "convolutionTranspose",
      [y, w, bias],
      [x],
      [w.requiresGrad ? y : null, y.requiresGrad ? w : null],
      ([grad], node) => {
        const g = grad as Tensor;
        return [
          y.requiresGrad ? correlate(g, node.input(1), null, f, y.shape) : null,
          w.requiresGrad ? weigh(node.input(0), g, f, w.shape) : null,
          bias?.requiresGrad === true ? sum(g, [0, 2, 3, 4]) : null,
        ];
      },
    );
  }
  return x;
}

/** The transpose of `correlate` in w. */
function weigh(y: Tensor, x: Tensor, f: Filter, to: Shape): Tensor {
  let w: Tensor;
  if (numelOf(to) === 0 || y.numel() === 0 || x.numel() === 0) {
    w = emptyTensor(to, y.dtype, y.device);
    fill(w, 0);
  } else if (to[1] === 1 && (to[0] as number) <= fewFilters * f.groups) {
    w = weighApart(y.detach(), x.detach(), f, to);
  } else {
    const [a, b] = [contiguous(x.detach()), contiguous(y.detach())];
    const plan = forwardPlan(a, to, b.shape, f);
    const parts = weightParts(geometry(plan.numbers), y.device.engine.threads);
    const sums = emptyTensor([parts, ...to], y.dtype, y.device);
    run("weights", plan, a, sums, b, null, f.groups * parts);
    w = parts === 1 ? reshape(sums, to) : sum(sums, 0);
  }
  if (records([y, x])) {
    record("convolutionWeight", [y, x], [w], [x.requiresGrad ? y : null, y.requiresGrad ? x : null], ([grad], node) => {
      const g = grad as Tensor;
      return [
        y.requiresGrad ? correlate(node.input(1), g, null, f, y.shape) : null,
        x.requiresGrad ? spread(node.input(0), g, null, f, x.shape) : null,
      ];
    });
  }
  return w;
}

/** Up to so many filters for each channel that stands alone, a product would compute mostly zeros. */
const fewFilters = 4;
/** Sums of one kernel; filters with more elements are taken in turns. */
const mostSums = 12;
const sumsOf = Array.from(
  { length: mostSums + 1 },
  (_, n) =>
    new LoopFamily(
      {
        name: "depthwiseWeight",
        build: (load) =>
          Array.from({ length: n }, (__, t) => ({
            per: "row" as const,
            value: k.reduce("sum", k.mul(load(0), load(1 + t))),
          })),
      },
      [],
    ),
);

/** `weigh` where every channel of x is a group of its own: the sums of y times each tap's view of x. */
function weighApart(y: Tensor, x: Tensor, f: Filter, to: Shape): Tensor {
  const out = emptyTensor(to, y.dtype, y.device);
  const kernel = spatial(to);
  const sizes = spatial(y.shape);
  const reach = triple((i) => (sizes[i] - 1) * f.stride[i] + (kernel[i] - 1) * f.dilation[i] + 1);
  const padded = triple((i) => Math.max((x.shape[i + 2] as number) + f.pad[i], reach[i]));
  const windows = { input: x.shape, kernel, stride: f.stride, pad: f.pad, dilation: f.dilation, out: sizes, padded };
  const views = taps(surrounded(x, windows, 0), windows).map(({ view }) => view);
  const M = (to[0] as number) / f.groups;
  const T = views.length;
  const [b, c, ...rest] = y.strides as [number, number, ...number[]];
  for (let from = 0; from < T; from += mostSums) {
    const some = views.slice(from, from + mostSums);
    const results = some.map((_, t) => wrap(out.buffer, out.device, out.dtype, [], [], out.offset + from + t, false));
    (sumsOf[some.length] as LoopFamily).run(
      [y, ...some, ...results],
      1 + some.length,
      [f.groups, M],
      [y.shape[0] as number, ...sizes],
      [
        [c * M, c, b, ...rest],
        ...some.map(({ strides: [batch, channel, ...others] }) => [channel as number, 0, batch as number, ...others]),
        ...results.map(() => [M * T, T, 0, 0, 0, 0]),
      ],
      [],
    );
  }
  return out;
}

/** (b, c, …) with up to three spatial dimensions, as five dimensions. */
const five = (t: Tensor): Tensor =>
  reshape(t, [...t.shape.slice(0, 2), ...new Array<number>(5 - t.shape.length).fill(1), ...t.shape.slice(2)]);

function check(op: string, dims: number, x: Tensor, weight: Tensor, bias: Tensor | null, channels: number): void {
  deviceOf(op, bias === null ? [x, weight] : [x, weight, bias]);
  for (const t of bias === null ? [weight] : [weight, bias]) {
    if (t.dtype !== x.dtype) {
      throw new DTypeError(
        `${op}: dtypes differ: ${x.dtype} and ${t.dtype}; convert one with .to("${promoteTypes(x.dtype, t.dtype)}")`,
      );
    }
  }
  if (!isFloating(x.dtype)) throw new DTypeError(`${op}: is not defined on ${x.dtype}; convert with .float()`);
  if (weight.shape.length !== dims + 2) {
    throw new ShapeError(`${op}: the weight has shape ${show(weight.shape)}; expected ${dims + 2} dimensions`);
  }
  if (x.shape.length !== dims + 2 && x.shape.length !== dims + 1) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${x.shape.length} dimensions; expected ${dims + 1}, or ${dims + 2} with a batch`,
    );
  }
  if (weight.numel() === 0) throw new ShapeError(`${op}: the weight ${show(weight.shape)} is empty`);
  if (bias !== null && !sameShape(bias.shape, [channels])) {
    throw new ShapeError(`${op}: the bias has shape ${show(bias.shape)}; expected (${channels},)`);
  }
}

function checkGroups(op: string, groups: number, channels: number): void {
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new ValueError(`${op}: ${groups} groups do not divide ${channels} output channels`);
  }
}

/** Runs in float32 what is stored in 16 bits, with a batch of one where there is none. */
function prepared(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  dims: number,
  f: (x: Tensor, w: Tensor, bias: Tensor | null) => Tensor,
): Tensor {
  const narrow = x.dtype === "float16" || x.dtype === "bfloat16";
  const wide = (t: Tensor): Tensor => (narrow ? cast(t, "float32") : t);
  const single = x.shape.length === dims + 1;
  const y = f(five(wide(single ? unsqueeze(x, 0) : x)), five(wide(weight)), bias === null ? null : wide(bias));
  const shaped = reshape(y, [...y.shape.slice(0, 2), ...y.shape.slice(5 - dims)]);
  const out = single ? squeeze(shaped, 0) : shaped;
  return narrow ? cast(out, x.dtype) : out;
}

function conv(op: string, dims: number, x: Tensor, weight: Tensor, bias: Tensor | null, o: ConvOptions): Tensor {
  const groups = o.groups ?? 1;
  check(op, dims, x, weight, bias, weight.shape[0] as number);
  checkGroups(op, groups, weight.shape[0] as number);
  const inputs = x.shape[x.shape.length - dims - 1] as number;
  if (inputs !== groups * (weight.shape[1] as number)) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${inputs} channels; the weight ${show(weight.shape)} with groups ${groups} needs ` +
        `${groups * (weight.shape[1] as number)}`,
    );
  }
  const stride = sizesOf(op, "stride", o.stride ?? 1, dims, 1);
  const dilation = sizesOf(op, "dilation", o.dilation ?? 1, dims, 1);
  const kernel = weight.shape.slice(2);
  const sizes = x.shape.slice(-dims);
  const padding = o.padding ?? 0;
  if (padding === "same" && stride.some((s) => s !== 1)) {
    throw new ValueError(`${op}: padding "same" needs stride 1, not ${JSON.stringify(o.stride)}`);
  }
  if (typeof padding === "string" && padding !== "same" && padding !== "valid") {
    throw new ValueError(`${op}: padding is a number, "same" or "valid", not "${String(padding)}"`);
  }
  const reach = kernel.map((k, i) => (dilation[i] as number) * (k - 1));
  const pad =
    padding === "same"
      ? reach.map((r) => Math.floor(r / 2))
      : sizesOf(op, "padding", padding === "valid" ? 0 : padding, dims, 0);
  const out = sizes.map((n, i) =>
    padding === "same"
      ? n
      : Math.floor((n + 2 * (pad[i] as number) - (reach[i] as number) - 1) / (stride[i] as number)) + 1,
  );
  if (out.some((n) => n < 1) && numelOf(sizes) > 0) {
    throw new ShapeError(
      `${op}: the filter ${show(kernel)} with dilation ${show(dilation)} is larger than the input ${show(x.shape)} with ` +
        `padding ${show(pad)}`,
    );
  }
  if (out.some((n) => n < 1)) throw new ShapeError(`${op}: input ${show(x.shape)} has an empty spatial dimension`);
  const f = filterOf(widen(stride, 1), widen(pad, 0), widen(dilation, 1), groups);
  return prepared(x, weight, bias, dims, (a, w, b) =>
    correlate(a, w, b, f, [a.shape[0] as number, w.shape[0] as number, ...widen(out, 1)]),
  );
}

function convTranspose(
  op: string,
  dims: number,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  o: ConvTransposeOptions,
): Tensor {
  const groups = o.groups ?? 1;
  const outputs = groups * ((weight.shape[1] as number | undefined) ?? 0);
  check(op, dims, x, weight, bias, outputs);
  const inputs = x.shape[x.shape.length - dims - 1] as number;
  if (inputs !== weight.shape[0]) {
    throw new ShapeError(
      `${op}: input ${show(x.shape)} has ${inputs} channels; the weight ${show(weight.shape)} needs ${weight.shape[0]}`,
    );
  }
  if (!Number.isInteger(groups) || groups < 1 || inputs % groups !== 0) {
    throw new ValueError(`${op}: ${groups} groups do not divide ${inputs} input channels`);
  }
  const stride = sizesOf(op, "stride", o.stride ?? 1, dims, 1);
  const dilation = sizesOf(op, "dilation", o.dilation ?? 1, dims, 1);
  const pad = sizesOf(op, "padding", o.padding ?? 0, dims, 0);
  const extra = sizesOf(op, "outputPadding", o.outputPadding ?? 0, dims, 0);
  if (extra.some((n, i) => n >= Math.max(stride[i] as number, dilation[i] as number))) {
    throw new ValueError(
      `${op}: outputPadding ${show(extra)} is smaller than the stride ${show(stride)} or the dilation ${show(dilation)}`,
    );
  }
  const kernel = weight.shape.slice(2);
  const out = x.shape
    .slice(-dims)
    .map(
      (n, i) =>
        (n - 1) * (stride[i] as number) -
        2 * (pad[i] as number) +
        (dilation[i] as number) * ((kernel[i] as number) - 1) +
        (extra[i] as number) +
        1,
    );
  if (out.some((n) => n < 1)) {
    throw new ShapeError(`${op}: input ${show(x.shape)} with padding ${show(pad)} leaves an output of ${show(out)}`);
  }
  const f = filterOf(widen(stride, 1), widen(pad, 0), widen(dilation, 1), groups);
  return prepared(x, weight, bias, dims, (a, w, b) =>
    spread(a, w, b, f, [a.shape[0] as number, outputs, ...widen(out, 1)]),
  );
}

type Conv = (x: Tensor, weight: Tensor, bias?: Tensor | null, o?: ConvOptions) => Tensor;
type ConvTranspose = (x: Tensor, weight: Tensor, bias?: Tensor | null, o?: ConvTransposeOptions) => Tensor;
const convOf =
  (dims: number): Conv =>
  (x, weight, bias = null, o = {}) =>
    conv(`conv${dims}d`, dims, x, weight, bias, o);
const convTransposeOf =
  (dims: number): ConvTranspose =>
  (x, weight, bias = null, o = {}) =>
    convTranspose(`convTranspose${dims}d`, dims, x, weight, bias, o);

/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv1d.html */
export const conv1d = convOf(1);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html */
export const conv2d = convOf(2);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv3d.html */
export const conv3d = convOf(3);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose1d.html */
export const convTranspose1d = convTransposeOf(1);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html */
export const convTranspose2d = convTransposeOf(2);
/** https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose3d.html */
export const convTranspose3d = convTransposeOf(3);
