/**
 * Images turned, moved, scaled and sheared: each pixel of the result looks up where it comes from. All functions take
 * (…, C, H, W), or (H, W), and leave the dtype.
 *
 * Source: https://docs.pytorch.org/vision/stable/transforms.html (v2.functional)
 */
import { checkList, checkObject, checkOptions, inWords } from "../../arguments.js";
import { ValueError } from "../../errors.js";
import { fromTypedArray, type Tensor, where } from "../../tensor/index.js";
import { checkInterpolation, type Interpolation, inFloats, roundHalfEven, type Size, sizeOf } from "./resize.js";

export interface AffineOptions {
  /** "nearest" by default, as in torchvision. */
  interpolation?: Interpolation;
  /** What lies outside the image, in its own units; 0 by default. */
  fill?: number;
  /** The point that stays where it is, (x, y) in pixels from the top left; the middle by default. */
  center?: readonly [x: number, y: number] | undefined;
}

export interface AffineParameters {
  /** Clockwise, in degrees. */
  angle?: number;
  /** Pixels to the right and down. */
  translate?: readonly [x: number, y: number];
  scale?: number;
  /** Angles in degrees along x and y. */
  shear?: readonly [x: number, y: number];
}

/** x' = m₀ x + m₁ y + m₂, y' = m₃ x + m₄ y + m₅: from the result to the image, both seen from their middles. */
type Matrix = readonly [number, number, number, number, number, number];

function inverseMatrix(
  { angle = 0, translate = [0, 0], scale = 1, shear = [0, 0] }: AffineParameters,
  [cx, cy]: Size,
): Matrix {
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const rotation = radians(angle);
  const [sx, sy] = [radians(shear[0]), radians(shear[1])];
  const a = Math.cos(rotation - sy) / Math.cos(sy);
  const b = (-Math.cos(rotation - sy) * Math.tan(sx)) / Math.cos(sy) - Math.sin(rotation);
  const c = Math.sin(rotation - sy) / Math.cos(sy);
  const d = (-Math.sin(rotation - sy) * Math.tan(sx)) / Math.cos(sy) + Math.cos(rotation);
  const [m0, m1, m3, m4] = [d / scale, -b / scale, -c / scale, a / scale];
  const [x, y] = [-cx - translate[0], -cy - translate[1]];
  return [m0, m1, m0 * x + m1 * y + cx, m3, m4, m3 * x + m4 * y + cy];
}

/** The center as seen from the middle. */
const fromMiddle = ([height, width]: Size, center: AffineOptions["center"]): Size =>
  center === undefined ? [0, 0] : [center[0] - width * 0.5, center[1] - height * 0.5];

/**
 * Rotates, shears, scales and moves, in this order, about the center.
 *
 * Errors: ShapeError for what is no image, ValueError for a scale that is not above 0 or a number that is not finite.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { transforms } from "cresset/vision";
 *
 * const moved = transforms.functional.affine(torch.rand([3, 32, 32]), { angle: 10, translate: [2, 0], scale: 1.1 });
 * ```
 */
export function affine(image: Tensor, parameters: AffineParameters, options: AffineOptions = {}): Tensor {
  const size = sizeOf("affine", image);
  checkObject("affine", "parameters", parameters);
  checkOptions("affine", options);
  const { scale = 1, angle = 0, translate = [0, 0], shear = [0, 0] } = parameters;
  checkList("affine", "translate", translate);
  checkList("affine", "shear", shear);
  if (!(scale > 0)) throw new ValueError(`affine: scale is ${scale}; it must be above 0`);
  for (const value of [scale, angle, ...translate, ...shear]) {
    if (!Number.isFinite(value)) throw new ValueError(`affine: ${value} is not a finite number`);
  }
  return sample("affine", image, inverseMatrix(parameters, fromMiddle(size, options.center)), size, options);
}

/**
 * Rotates counter-clockwise by `angle` degrees. With `expand` the result is as large as it must be to hold the whole image.
 *
 * Errors: ShapeError for what is no image, ValueError for an angle that is not finite.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { transforms } from "cresset/vision";
 *
 * const tilted = transforms.functional.rotate(torch.rand([1, 28, 28]), 30, { interpolation: "bilinear" });
 * ```
 */
export function rotate(image: Tensor, angle: number, options: AffineOptions & { expand?: boolean } = {}): Tensor {
  const size = sizeOf("rotate", image);
  checkOptions("rotate", options);
  if (!Number.isFinite(angle)) throw new ValueError(`rotate: angle is ${inWords(angle)}`);
  const turn = ((angle % 360) + 360) % 360;
  const { expand = false, center } = options;
  if (center === undefined) {
    // Quarter turns move pixels, and lose none.
    if (turn === 0) return image.clone();
    if (turn === 180) return image.flip([-1, -2]);
    if (turn % 90 === 0 && (expand || size[0] === size[1])) {
      return turn === 90 ? image.transpose(-1, -2).flip([-2]) : image.flip([-2]).transpose(-1, -2).contiguous();
    }
  }
  const matrix = inverseMatrix({ angle: -turn }, fromMiddle(size, center));
  return sample("rotate", image, matrix, expand ? holding(matrix, size) : size, options);
}

/** The size that holds the whole image. */
function holding([m0, m1, m2, m3, m4, m5]: Matrix, [height, width]: Size): Size {
  const corners = [-1, 1].flatMap((sx) => [-1, 1].map((sy) => [(sx * width) / 2, (sy * height) / 2] as const));
  const xs = corners.map(([x, y]) => m0 * x + m1 * y + m2 + width / 2);
  const ys = corners.map(([x, y]) => m3 * x + m4 * y + m5 + height / 2);
  // Four digits: what is a hair above a whole number is that number.
  const cut = (value: number): number => Math.trunc(value * 1e4) / 1e4;
  const span = (values: number[]): number => Math.ceil(cut(Math.max(...values))) - Math.floor(cut(Math.min(...values)));
  return [span(ys), span(xs)];
}

/** The image read at `matrix` times each place of the result. */
function sample(what: string, image: Tensor, matrix: Matrix, [height, width]: Size, options: AffineOptions): Tensor {
  const { interpolation = "nearest", fill = 0 } = options;
  checkInterpolation(what, interpolation);
  const [h, w] = sizeOf(what, image);
  const lead = image.shape.slice(0, -2);
  const flat = image.reshape([...lead, h * w]);
  const [m0, m1, m2, m3, m4, m5] = matrix;
  const count = height * width;
  const xs = new Float64Array(count);
  const ys = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const x = (i % width) - width * 0.5 + 0.5;
    const y = Math.floor(i / width) - height * 0.5 + 0.5;
    // To float32's digits: a place between two pixels must not depend on the last bits of float64.
    xs[i] = Math.fround(m0 * x + m1 * y + m2 + w * 0.5 - 0.5);
    ys[i] = Math.fround(m3 * x + m4 * y + m5 + h * 0.5 - 0.5);
  }
  /** The pixels at (x, y), and which of them are in the image. */
  const at = (x: (i: number) => number, y: (i: number) => number) => {
    const places = new Int32Array(count);
    const inside = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const [column, row] = [x(i), y(i)];
      if (column < 0 || row < 0 || column >= w || row >= h) continue;
      inside[i] = 1;
      places[i] = row * w + column;
    }
    const mask = fromTypedArray(inside, [count], { dtype: "bool" });
    return { pixels: flat.indexSelect(-1, fromTypedArray(places, [count])), mask };
  };
  const shape = [...lead, height, width];
  if (interpolation === "nearest") {
    const { pixels, mask } = at(
      (i) => roundHalfEven(xs[i] as number),
      (i) => roundHalfEven(ys[i] as number),
    );
    return where(mask, pixels, fill).to(image.dtype).reshape(shape);
  }
  return inFloats(what, image, (floats) => {
    let sum: Tensor | null = null;
    const coverage = new Float32Array(count);
    for (const [dx, dy] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ] as const) {
      const column = (i: number): number => Math.floor(xs[i] as number) + dx;
      const row = (i: number): number => Math.floor(ys[i] as number) + dy;
      const { pixels, mask } = at(column, row);
      const inside = mask.toTypedArray() as Uint8Array;
      const weights = Float32Array.from({ length: count }, (_, i) => {
        if (inside[i] === 0) return 0;
        return (1 - Math.abs((xs[i] as number) - column(i))) * (1 - Math.abs((ys[i] as number) - row(i)));
      });
      for (let i = 0; i < count; i++) coverage[i] = (coverage[i] as number) + (weights[i] as number);
      const part = pixels.to(floats.dtype).mul(fromTypedArray(weights, [count]).to(floats.dtype));
      sum = sum === null ? part : sum.add(part);
    }
    let out = sum as Tensor;
    // A pixel half outside is half the fill, and its own part is dimmed as torchvision dims it.
    if (options.fill !== undefined)
      out = out
        .sub(fill)
        .mul(fromTypedArray(coverage, [count]).to(floats.dtype))
        .add(fill);
    return out.reshape(shape);
  });
}
