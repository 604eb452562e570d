/** The argument block of a convolution, the units it has and the scratch memory it needs. */
import { geometry, multiplications, planCorrelation, planWeights } from "../../kernel/convolution.js";
import { bytesOf, type ConvolutionKernel } from "../../kernel/ir.js";
import { convolutionTuning } from "../../kernel/wasm/convolution.js";

export interface ConvolutionLaunch {
  readonly units: number;
  /** Bytes, for each thread. */
  readonly scratch: number;
  /** Multiplications. */
  readonly work: number;
  /** What follows the shapes' numbers. */
  readonly blocks: readonly number[];
}

export function planConvolution(
  kernel: ConvolutionKernel,
  params: Float64Array,
  units: number,
  relaxed: boolean,
): ConvolutionLaunch {
  const tuning = convolutionTuning(kernel.type, relaxed);
  const g = geometry(params);
  const { groups, C, M, T_: T } = g;
  const plan = kernel.pass === "weights" ? planWeights(g, units / groups, tuning) : planCorrelation(g, 1, tuning);
  const [images, rows] = plan.values as [number, number];
  const weights = groups * M * C * T;
  const tables = 4 * (C * T + images * rows + tuning.columns);
  const tile = tuning.tileRows * tuning.columns;
  return {
    units: plan.units,
    scratch: bytesOf[kernel.type] * (weights + tile + plan.planes + tuning.columns * C * T) + tables,
    work: multiplications(g),
    blocks: plan.values,
  };
}
