/**
 * Windows over a tensor of five dimensions, for pooling and depthwise filters: a window is a list of taps, and each tap of all
 * windows is one strided view of the padded tensor.
 */
import type { Tensor } from "../tensor/tensor.js";
import { emptyTensor, wrap } from "./core.js";
import type { Shape } from "./shape.js";
import { contiguous, copyInto, fill, narrow } from "./view.js";

/** Windows over five dimensions: batch, channels, depth, height, width. */
export interface Windows {
  readonly input: Shape;
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly pad: readonly number[];
  readonly dilation: readonly number[];
  /** Spatial sizes of the output and of the padded input. */
  readonly out: readonly number[];
  readonly padded: readonly number[];
}

export const outputOf = (w: Windows): number[] => [w.input[0] as number, w.input[1] as number, ...w.out];
export const paddedOf = (w: Windows): number[] => [w.input[0] as number, w.input[1] as number, ...w.padded];

/** The part of a padded tensor that is the input. */
export function interior(t: Tensor, w: Windows): Tensor {
  return [0, 1, 2].reduce((v, i) => narrow(v, i + 2, w.pad[i] as number, w.input[i + 2] as number), t);
}

/** The input with `value` around it, or itself where nothing is around it. */
export function surrounded(x: Tensor, w: Windows, value: number): Tensor {
  if (w.padded.every((n, i) => n === w.input[i + 2])) return contiguous(x);
  const out = emptyTensor(paddedOf(w), x.dtype, x.device);
  fill(out, value);
  if (x.numel() > 0) copyInto(interior(out, w), x);
  return out;
}

/** Each tap as a view of the padded tensor that has the output's shape, and its distance in a plane of the input. */
export function taps(padded: Tensor, w: Windows): { view: Tensor; distance: number }[] {
  const [, , , H, W] = w.input as [number, number, number, number, number];
  const strides = padded.strides;
  const list: { view: Tensor; distance: number }[] = [];
  const shape = outputOf(w);
  const [kd, kh, kw] = w.kernel as [number, number, number];
  for (let d = 0; d < kd; d++)
    for (let h = 0; h < kh; h++)
      for (let c = 0; c < kw; c++) {
        const at = [d, h, c].map((n, i) => n * (w.dilation[i] as number)) as [number, number, number];
        const offset = at.reduce((sum, n, i) => sum + n * (strides[i + 2] as number), padded.offset);
        const own = [0, 1, 2].map((i) => (strides[i + 2] as number) * (w.stride[i] as number));
        const view = wrap(
          padded.buffer,
          padded.device,
          padded.dtype,
          shape,
          [strides[0] as number, strides[1] as number, ...own],
          offset,
          false,
        );
        list.push({ view, distance: (at[0] * H + at[1]) * W + at[2] });
      }
  return list;
}
