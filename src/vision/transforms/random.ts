/**
 * Transforms that draw: each image gets another crop, angle or colour. Numbers come from a `Generator`, by default the one
 * that `manualSeed` sets, so that a run can be repeated. All images of a batch (B, C, H, W) get the same draw.
 *
 * Source of the names and distributions: https://docs.pytorch.org/vision/stable/transforms.html (v2)
 */
import { checkList, checkOptions, checkTensor } from "../../arguments.js";
import { ValueError } from "../../errors.js";
import { type Generator, rand, randint, randperm, type Tensor } from "../../tensor/index.js";
import { type AffineOptions, affine, rotate } from "./affine.js";
import { adjustBrightness, adjustContrast, adjustHue, adjustSaturation, rgbToGrayscale } from "./color.js";
import {
  checkSize,
  crop,
  horizontalFlip,
  type ResizeOptions,
  resizedCrop,
  roundHalfEven,
  type Size,
  sizeOf,
  verticalFlip,
} from "./resize.js";
import { type AnyTransform, apply, checkTransforms, Transform } from "./transform.js";

export interface ChanceOptions {
  /** Where chance comes from; by default the generator that `manualSeed` sets. */
  generator?: Generator | undefined;
}

/** From the least to the greatest value. */
export type Range = readonly [from: number, to: number];

/** The base: draws of numbers. */
abstract class RandomTransform extends Transform {
  readonly #generator: Generator | undefined;

  constructor(options: ChanceOptions) {
    super();
    checkOptions(new.target.name, options);
    this.#generator = options.generator;
  }

  protected uniform([from, to]: Range): number {
    return from + (to - from) * rand([1], { generator: this.#generator, dtype: "float32" }).item();
  }

  /** A whole number from 0 to `below` − 1. */
  protected whole(below: number): number {
    return below <= 1 ? 0 : randint(below, [1], { generator: this.#generator }).item();
  }

  protected order(count: number): number[] {
    return Array.from(randperm(count, { generator: this.#generator }).toTypedArray(), Number);
  }

  protected happens(p: number, image: Tensor): boolean {
    checkTensor(this.constructor.name, "image", image);
    return this.uniform([0, 1]) < p;
  }
}

function checkProbability(what: string, p: number): number {
  if (!(p >= 0 && p <= 1)) throw new ValueError(`${what}: p is ${p}; it must be from 0 to 1`);
  return p;
}

function checkRange(what: string, name: string, range: Range, least = Number.NEGATIVE_INFINITY): Range {
  checkList(what, name, range);
  const [from, to] = range;
  if (!(from <= to && from >= least && to < Number.POSITIVE_INFINITY)) {
    throw new ValueError(`${what}: ${name} is from ${from} to ${to}`);
  }
  return [from, to];
}

function both(what: string, size: number | Size): Size {
  const sides: Size = typeof size === "number" ? [size, size] : size;
  checkSize(what, sides);
  return sides;
}

/** Left becomes right with probability `p`, 0.5 by default. */
export class RandomHorizontalFlip extends RandomTransform {
  readonly #p: number;

  constructor(options: { p?: number } & ChanceOptions = {}) {
    super(options);
    const { p = 0.5 } = options;
    this.#p = checkProbability("RandomHorizontalFlip", p);
  }

  override forward(image: Tensor): Tensor {
    return this.happens(this.#p, image) ? horizontalFlip(image) : image;
  }
}

/** Top becomes bottom with probability `p`, 0.5 by default. */
export class RandomVerticalFlip extends RandomTransform {
  readonly #p: number;

  constructor(options: { p?: number } & ChanceOptions = {}) {
    super(options);
    const { p = 0.5 } = options;
    this.#p = checkProbability("RandomVerticalFlip", p);
  }

  override forward(image: Tensor): Tensor {
    return this.happens(this.#p, image) ? verticalFlip(image) : image;
  }
}

/** Grey with probability `p`, 0.1 by default; the number of channels stays. */
export class RandomGrayscale extends RandomTransform {
  readonly #p: number;

  constructor(options: { p?: number } & ChanceOptions = {}) {
    super(options);
    const { p = 0.1 } = options;
    this.#p = checkProbability("RandomGrayscale", p);
  }

  override forward(image: Tensor): Tensor {
    return this.happens(this.#p, image) ? rgbToGrayscale(image, image.shape.at(-3) === 3 ? 3 : 1) : image;
  }
}

/** Other transforms, all of them, with probability `p`, 0.5 by default. */
export class RandomApply extends RandomTransform {
  readonly #p: number;
  readonly #transforms: readonly AnyTransform[];

  constructor(transforms: readonly AnyTransform[], options: { p?: number } & ChanceOptions = {}) {
    super(options);
    const { p = 0.5 } = options;
    this.#p = checkProbability("RandomApply", p);
    checkTransforms("RandomApply", transforms);
    this.#transforms = transforms;
  }

  override forward(image: Tensor): Tensor {
    if (!this.happens(this.#p, image)) return image;
    return this.#transforms.reduce((present, transform) => apply(transform, present), image);
  }
}

/**
 * A part of `size` anywhere in the image, with `padding` pixels of 0 around it first.
 *
 * Errors: ValueError for an image that is smaller than `size` even with its padding.
 */
export class RandomCrop extends RandomTransform {
  readonly #size: Size;
  readonly #padding: number;

  constructor(size: number | Size, options: { padding?: number } & ChanceOptions = {}) {
    super(options);
    const { padding = 0 } = options;
    if (!(Number.isSafeInteger(padding) && padding >= 0)) throw new ValueError(`RandomCrop: padding is ${padding}`);
    this.#size = both("RandomCrop", size);
    this.#padding = padding;
  }

  override forward(image: Tensor): Tensor {
    const [h, w] = sizeOf("RandomCrop", image);
    const [height, width] = this.#size;
    const spareRows = h + 2 * this.#padding - height;
    const spareColumns = w + 2 * this.#padding - width;
    if (spareRows < 0 || spareColumns < 0) {
      throw new ValueError(`RandomCrop: ${height} × ${width} of an image of ${h} × ${w} with padding ${this.#padding}`);
    }
    const top = this.whole(spareRows + 1) - this.#padding;
    return crop(image, top, this.whole(spareColumns + 1) - this.#padding, height, width);
  }
}

/**
 * A part of random area (`scale`, of the image's) and aspect (`ratio`, log-uniform), resized to `size`: the usual crop for
 * training classifiers (Szegedy et al., 2015).
 */
export class RandomResizedCrop extends RandomTransform {
  readonly #size: Size;
  readonly #scale: Range;
  readonly #ratio: Range;
  readonly #resize: ResizeOptions;

  constructor(size: number | Size, options: { scale?: Range; ratio?: Range } & ResizeOptions & ChanceOptions = {}) {
    super(options);
    const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3], generator: _, ...rest } = options;
    this.#size = both("RandomResizedCrop", size);
    this.#scale = checkRange("RandomResizedCrop", "scale", scale, 0);
    this.#ratio = checkRange("RandomResizedCrop", "ratio", ratio, Number.MIN_VALUE);
    this.#resize = rest;
  }

  override forward(image: Tensor): Tensor {
    const [h, w] = sizeOf("RandomResizedCrop", image);
    const [top, left, height, width] = this.#draw(h, w);
    return resizedCrop(image, top, left, height, width, this.#size, this.#resize);
  }

  #draw(h: number, w: number): [top: number, left: number, height: number, width: number] {
    const [least, most] = this.#ratio;
    for (let tries = 0; tries < 10; tries++) {
      const area = h * w * this.uniform(this.#scale);
      const aspect = Math.exp(this.uniform([Math.log(least), Math.log(most)]));
      const width = roundHalfEven(Math.sqrt(area * aspect));
      const height = roundHalfEven(Math.sqrt(area / aspect));
      if (width > 0 && width <= w && height > 0 && height <= h) {
        const top = this.whole(h - height + 1);
        return [top, this.whole(w - width + 1), height, width];
      }
    }
    // No part fits: the largest in the middle that has an aspect of the range.
    const aspect = Math.min(Math.max(w / h, least), most);
    const width = Math.max(1, Math.min(w, roundHalfEven(h * aspect)));
    const height = Math.max(1, Math.min(h, roundHalfEven(w / aspect)));
    return [Math.floor((h - height) / 2), Math.floor((w - width) / 2), height, width];
  }
}

/** Rotates by an angle from `degrees`: a range, or a number for −d to d. */
export class RandomRotation extends RandomTransform {
  readonly #degrees: Range;
  readonly #options: AffineOptions & { expand?: boolean };

  constructor(degrees: number | Range, options: AffineOptions & { expand?: boolean } & ChanceOptions = {}) {
    super(options);
    const { generator: _, ...rest } = options;
    this.#degrees = checkRange("RandomRotation", "degrees", around(degrees));
    this.#options = rest;
  }

  override forward(image: Tensor): Tensor {
    return rotate(image, this.uniform(this.#degrees), this.#options);
  }
}

export interface RandomAffineOptions extends AffineOptions, ChanceOptions {
  /** At most these parts of width and height to move by. */
  translate?: readonly [x: number, y: number] | undefined;
  scale?: Range | undefined;
  /** Degrees along x (a number for −s to s, or a range), or along x and y (two ranges). */
  shear?: number | Range | readonly [x: Range, y: Range] | undefined;
}

/** Rotates, moves, scales and shears by numbers from these ranges. */
export class RandomAffine extends RandomTransform {
  readonly #degrees: Range;
  readonly #translate: readonly [number, number] | undefined;
  readonly #scale: Range | undefined;
  readonly #shear: readonly [x: Range, y: Range] | undefined;
  readonly #options: AffineOptions;

  constructor(degrees: number | Range, options: RandomAffineOptions = {}) {
    super(options);
    const { translate, scale, shear, generator: _, ...rest } = options;
    this.#degrees = checkRange("RandomAffine", "degrees", around(degrees));
    if (translate !== undefined) checkList("RandomAffine", "translate", translate);
    if (translate?.some((part) => !(part >= 0 && part <= 1))) {
      throw new ValueError(`RandomAffine: translate is (${translate.join(", ")}); parts are from 0 to 1`);
    }
    this.#translate = translate;
    this.#scale = scale && checkRange("RandomAffine", "scale", scale, Number.MIN_VALUE);
    this.#shear =
      shear === undefined
        ? undefined
        : isPair(shear)
          ? shear
          : [checkRange("RandomAffine", "shear", around(shear)), [0, 0]];
    this.#options = rest;
  }

  override forward(image: Tensor): Tensor {
    const [h, w] = sizeOf("RandomAffine", image);
    const angle = this.uniform(this.#degrees);
    const [dx, dy] = this.#translate ?? [0, 0];
    const move = (most: number): number => roundHalfEven(this.uniform([-most, most]));
    const translate = this.#translate === undefined ? ([0, 0] as const) : ([move(dx * w), move(dy * h)] as const);
    const scale = this.#scale === undefined ? 1 : this.uniform(this.#scale);
    const shear = (this.#shear ?? []).map((range) => this.uniform(range)) as [number, number] | [];
    return affine(image, { angle, translate, scale, shear: shear.length === 2 ? shear : [0, 0] }, this.#options);
  }
}

const isPair = (shear: number | Range | readonly [Range, Range]): shear is readonly [Range, Range] =>
  Array.isArray(shear) && Array.isArray(shear[0]);

const around = (value: number | Range): Range => (typeof value === "number" ? [-value, value] : value);

export interface ColorJitterOptions extends ChanceOptions {
  /** A factor from max(0, 1 − b) to 1 + b, or from a range. */
  brightness?: number | Range;
  contrast?: number | Range;
  saturation?: number | Range;
  /** Part of a turn from −h to h, at most 0.5, or from a range. */
  hue?: number | Range;
}

/** Brightness, contrast, saturation and hue, in random order, each by a factor from its range. */
export class ColorJitter extends RandomTransform {
  readonly #ranges: readonly (Range | undefined)[];

  constructor(options: ColorJitterOptions = {}) {
    super(options);
    const factor = (name: "brightness" | "contrast" | "saturation"): Range | undefined => {
      const given = options[name];
      if (given === undefined || given === 0) return undefined;
      const range: Range = typeof given === "number" ? [given > 0 ? Math.max(0, 1 - given) : given, 1 + given] : given;
      return checkRange("ColorJitter", name, range, 0);
    };
    const hue = options.hue === undefined || options.hue === 0 ? undefined : around(options.hue);
    if (hue !== undefined) checkList("ColorJitter", "hue", hue);
    if (hue !== undefined && !(hue[0] >= -0.5 && hue[0] <= hue[1] && hue[1] <= 0.5)) {
      throw new ValueError(`ColorJitter: hue is from ${hue[0]} to ${hue[1]}; it must be within −0.5 to 0.5`);
    }
    this.#ranges = [factor("brightness"), factor("contrast"), factor("saturation"), hue];
  }

  override forward(image: Tensor): Tensor {
    const adjust = [adjustBrightness, adjustContrast, adjustSaturation, adjustHue] as const;
    checkTensor("ColorJitter", "image", image);
    const order = this.order(4);
    const factors = this.#ranges.map((range) => (range === undefined ? undefined : this.uniform(range)));
    return order.reduce((present, i) => {
      const factor = factors[i];
      return factor === undefined ? present : (adjust[i] as (typeof adjust)[number])(present, factor);
    }, image);
  }
}
