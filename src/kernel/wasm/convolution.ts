/**
 * Renders convolutions to WebAssembly, in the same steps as `c/convolution.ts`: planes of a block of the input (`planes.ts`), and
 * tiles that read them where they lie, in two passes: `correlate.ts` and `weights.ts`. Tiles are those of `tile.ts`.
 */
import type { ConvolutionTuning } from "../convolution.js";
import type { ConvolutionKernel } from "../ir.js";
import { correlate } from "./correlate.js";
import { ModuleBuilder } from "./encoder.js";
import type { Features } from "./features.js";
import { makePlanes } from "./planes.js";
import { shapeFor } from "./tile.js";
import { weights } from "./weights.js";

export function convolutionTuning(type: ConvolutionKernel["type"], relaxed: boolean): ConvolutionTuning {
  const half = type === "float32" ? 1 : 2;
  const { columns, rows } = shapeFor(type, relaxed);
  return { columns, tileRows: rows, weightRows: rows, planes: (1 << 16) / half, depth: 384 / half };
}

export function renderConvolution(kernel: ConvolutionKernel, features: Features): Uint8Array<ArrayBuffer> {
  const shape = shapeFor(kernel.type, features.relaxed);
  const module = new ModuleBuilder(features.shared);
  const planes = makePlanes(module, shape);
  return module.encode(
    kernel.pass === "correlate" ? correlate(module, shape, planes, kernel.bias) : weights(module, shape, planes),
  );
}
