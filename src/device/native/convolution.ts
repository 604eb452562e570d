/** Launches convolutions: packs the weights, cuts the work into units, decides how many threads pay. */
import { convolutionTuning } from "../../kernel/c/convolution.js";
import {
  convolutionBlocks,
  convolutionNumbers,
  convolutionPointers,
  geometry,
  multiplications,
  planCorrelation,
  planWeights,
} from "../../kernel/convolution.js";
import { bytesOf, type ConvolutionKernel } from "../../kernel/ir.js";
import type { Buffer } from "../engine.js";
import type { Launcher } from "./launcher.js";
import type { NativeBuffer } from "./memory.js";

const pointers = convolutionPointers.length;
const numbers = convolutionNumbers.length;

/** Buffers: X, W, Y, taps and, with a bias, bias. `units` of the weights' gradient are groups × parts. */
export function launchConvolution(
  launcher: Launcher,
  id: number,
  kernel: ConvolutionKernel,
  buffers: readonly Buffer[],
  offsets: readonly number[],
  params: Float64Array,
  units: number,
): void {
  const { args } = launcher;
  const bytes = bytesOf[kernel.type];
  const address = (i: number, size: number): number => {
    const b = buffers[i] as NativeBuffer | undefined;
    return b === undefined ? 0 : b.address + (offsets[i] as number) * size;
  };
  const g = geometry(params);
  const { groups, C, M, T_: T } = g;
  const threads = launcher.threadsFor(multiplications(g));
  const tuning = convolutionTuning(kernel.type, launcher.vectors);
  const weights = kernel.pass === "weights";
  const plan = weights ? planWeights(g, units / groups, tuning) : planCorrelation(g, threads, tuning);
  const scratch = weights ? 0 : launcher.scratch(groups * M * C * T * bytes);
  const addresses = [
    address(0, bytes),
    address(1, bytes),
    address(2, bytes),
    address(4, bytes),
    address(3, 4),
    scratch,
  ];
  args.set(addresses);
  args.set(params.subarray(0, numbers), pointers);
  args.set(plan.values, pointers + numbers);
  if (!weights) {
    const channels = plan.values[convolutionBlocks.indexOf("channels")] as number;
    const tile = plan.values[convolutionBlocks.indexOf("tile")] as number;
    const panels = groups * Math.ceil(C / channels) * Math.ceil(M / tile);
    if (T > 0) launcher.run(id + 1, panels, Math.ceil(panels / threads), groups * M * C * T < 1 << 15 ? 1 : threads);
  }
  launcher.run(id, plan.units, weights ? 1 : Math.max(1, Math.floor(plan.units / (threads * 4))), threads);
}
