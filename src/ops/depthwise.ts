/**
 * The gradient of the weights of a depthwise convolution, where every channel of x is a group of its own: loop kernels that sum
 * y times each tap's view of x. All other gradients of weights are `correlate.ts`'s.
 */
import * as k from "../kernel/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Filter } from "./convolution-plan.js";
import { emptyTensor, LoopFamily, wrap } from "./core.js";
import type { Shape } from "./shape.js";
import { spatial, triple } from "./spatial.js";
import { surrounded, taps } from "./windows.js";

/** Up to so many filters for each channel, a product would compute mostly zeros. */
const fewFilters = 4;
/** Whether `weighApart` is the way to a gradient of the shape `to`. */
export const standsApart = (to: Shape, f: Filter): boolean => to[1] === 1 && (to[0] as number) <= fewFilters * f.groups;

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

/** As `weigh` in `correlate.ts`. */
export function weighApart(y: Tensor, x: Tensor, f: Filter, to: Shape): Tensor {
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
