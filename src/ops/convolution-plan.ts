/**
 * How a convolution's kernels are told what to do: the numbers of a launch and the table of taps, from the shapes and the filter's
 * options. `forwardPlan` is how X is seen from Y and serves two of the three operations of `correlate.ts`; `backwardPlans` is how
 * Y is seen from X.
 */
import { withRegion } from "../autograd/region.js";
import type { Engine } from "../device/engine.js";
import type { Geometry } from "../kernel/convolution.js";
import type { Tensor } from "../tensor/tensor.js";
import { fromBytes } from "./creation.js";
import { numelOf, type Shape } from "./shape.js";
import { spatial, type Triple, triple } from "./spatial.js";

/** What stays the same between the three operations. */
export interface Filter {
  readonly stride: Triple;
  readonly pad: Triple;
  readonly dilation: Triple;
  readonly groups: number;
  readonly key: string;
}

export function filterOf(stride: Triple, pad: Triple, dilation: Triple, groups: number): Filter {
  return { stride, pad, dilation, groups, key: `${stride}|${pad}|${dilation}|${groups}` };
}

const axes = [0, 1, 2] as const;

interface Tap {
  readonly phase: number;
  readonly at: Triple;
  readonly weight: number;
}
export interface Plan {
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
export function forwardPlan(x: Tensor, w: Shape, y: Shape, f: Filter): Plan {
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
export function backwardPlans(y: Tensor, w: Shape, x: Shape, f: Filter): readonly Plan[] {
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
