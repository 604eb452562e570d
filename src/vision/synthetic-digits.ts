/**
 * Digits made here, so that training needs no download: strokes (`digit-strokes.ts`) with trembling points, turned,
 * slanted, stretched and shifted, drawn with a pen of varying width and ink, with some dirt. They stand in for MNIST
 * where it cannot be had and are no substitute for it in a paper.
 *
 * The same seed gives the same bytes on every machine: chance is a hash of (seed, half, image, draw), and only +, −, ×,
 * ÷ and √ are used, which IEEE 754 fixes to the last bit; sines are not.
 */
import { checkOptions } from "../arguments.js";
import { ValueError } from "../errors.js";
import { digitStrokes, type Stroke } from "./digit-strokes.js";
import { imageBytes, LabelledImages, side } from "./labelled-images.js";

export interface SyntheticDigitsOptions {
  /** Two halves that share no image: one to train on (the default) and one to test with. */
  train?: boolean;
  /** How many images; 10,000 to train on and 2,000 to test with by default. */
  length?: number;
  /** Another seed gives other images; 0 by default. */
  seed?: number;
}

/**
 * 28×28 images of digits, drawn when first asked for. Items and batches are those of `MNIST`.
 *
 * @example
 * const train = new SyntheticDigits({ train: true, seed: 1 });
 * const [image, label] = train.get(0); // uint8 (28, 28), 0 to 9
 */
export class SyntheticDigits extends LabelledImages {
  readonly classes: readonly string[] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
  readonly #key: number;
  readonly #drawn: Uint8Array;

  constructor(options: SyntheticDigitsOptions = {}) {
    checkOptions("SyntheticDigits", options);
    const train = options.train ?? true;
    const length = options.length ?? (train ? 10_000 : 2_000);
    const seed = options.seed ?? 0;
    if (!(Number.isSafeInteger(length) && length > 0 && length <= 1_000_000)) {
      throw new ValueError(`SyntheticDigits: length is ${length}; it must be a whole number from 1 to 1,000,000`);
    }
    if (!Number.isSafeInteger(seed))
      throw new ValueError(`SyntheticDigits: seed is ${seed}; it must be a whole number`);
    const key = scramble(scramble(seed) ^ (Math.floor(seed / 2 ** 32) | 0)) ^ (train ? 0x5bd1e995 : 0);
    const labels = Uint8Array.from({ length }, (_, index) => Math.floor(new Draws(key, index).uniform() * 10));
    super(new Uint8Array(length * imageBytes), labels);
    this.#key = key;
    this.#drawn = new Uint8Array(length);
  }

  protected override prepare(index: number): void {
    if (this.#drawn[index]) return;
    const pixels = this.pixels.subarray(index * imageBytes, (index + 1) * imageBytes);
    drawDigit(this.labelBytes[index] as number, new Draws(this.#key, index), pixels);
    this.#drawn[index] = 1;
  }
}

/** Draws one digit into 784 zero bytes. */
function drawDigit(digit: number, draws: Draws, pixels: Uint8Array): void {
  draws.uniform(); // The label's own draw.
  const ways = digitStrokes[digit] as readonly (readonly Stroke[])[];
  const way = ways[Math.floor(draws.uniform() * ways.length)] as readonly Stroke[];

  // Around the middle of the box: stretch, slant and turn by θ with tan(θ/2) = t, then shift into the image.
  const t = draws.bell(0.1);
  const cos = (1 - t * t) / (1 + t * t);
  const sin = (2 * t) / (1 + t * t);
  const height = draws.between(15.5, 21);
  const width = draws.between(9.5, 18);
  const slant = draws.bell(0.2) + 0.08;
  const centreX = 14 + draws.bell(1);
  const centreY = 14 + draws.bell(1);
  const place = (x: number, y: number): [number, number] => {
    const across = (x - 0.5) * width - (y - 0.5) * height * slant;
    const down = (y - 0.5) * height;
    return [centreX + across * cos - down * sin, centreY + across * sin + down * cos];
  };

  const tremble = draws.between(0.015, 0.06);
  const pen: Pen = { radius: draws.between(0.75, 1.75), softness: draws.between(0.5, 0.9), ink: draws.between(0.8, 1) };
  const ink = new Float32Array(imageBytes);
  for (const { smooth, points } of way) {
    const moved: number[] = [];
    for (let i = 0; i < points.length; i += 2) {
      moved.push(
        ...place((points[i] as number) + draws.bell(tremble), (points[i + 1] as number) + draws.bell(tremble)),
      );
    }
    drawPolyline(ink, smooth ? smoothed(moved) : moved, pen);
  }

  const grain = draws.between(0, 0.12);
  const dirt = draws.uniform() < 0.25 ? draws.between(0.02, 0.1) : 0;
  for (let i = 0; i < imageBytes; i++) {
    const covered = ink[i] as number;
    if (covered === 0 && dirt === 0) continue;
    const noise = covered * grain * draws.between(-1, 1) + dirt * draws.uniform() * draws.uniform();
    pixels[i] = Math.min(255, Math.max(0, Math.floor((covered + noise) * 255 + 0.5)));
  }
}

interface Pen {
  /** In pixels, from the middle of the line to where its edge is half as dark. */
  readonly radius: number;
  /** Half the width of the edge, in pixels. */
  readonly softness: number;
  /** Darkness of a full line, 0 to 1. */
  readonly ink: number;
}

/** Darkens each pixel by its distance from the polyline: full inside, fading over the pen's soft edge. */
function drawPolyline(ink: Float32Array, points: readonly number[], { radius, softness, ink: full }: Pen): void {
  const reach = radius + softness;
  for (let i = 0; i + 3 < points.length; i += 2) {
    const [ax, ay, bx, by] = points.slice(i, i + 4) as [number, number, number, number];
    const dx = bx - ax;
    const dy = by - ay;
    const squared = dx * dx + dy * dy || 1e-12;
    const left = Math.max(0, Math.floor(Math.min(ax, bx) - reach));
    const right = Math.min(side - 1, Math.ceil(Math.max(ax, bx) + reach));
    const top = Math.max(0, Math.floor(Math.min(ay, by) - reach));
    const bottom = Math.min(side - 1, Math.ceil(Math.max(ay, by) + reach));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - ax;
        const py = y + 0.5 - ay;
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / squared));
        const ox = px - along * dx;
        const oy = py - along * dy;
        const distanceSquared = ox * ox + oy * oy;
        if (distanceSquared >= reach * reach) continue;
        const shade = Math.min(1, (reach - Math.sqrt(distanceSquared)) / (2 * softness)) * full;
        const at = y * side + x;
        if (shade > (ink[at] as number)) ink[at] = shade;
      }
    }
  }
}

/** A Catmull-Rom curve through the points, as a polyline of four pieces a span. Ends have their tangent to the neighbour. */
function smoothed(points: readonly number[]): number[] {
  const pieces = 4;
  const count = points.length / 2;
  const at = (i: number, axis: number) => points[2 * Math.min(count - 1, Math.max(0, i)) + axis] as number;
  const result = [at(0, 0), at(0, 1)];
  for (let i = 0; i + 1 < count; i++) {
    for (let piece = 1; piece <= pieces; piece++) {
      const u = piece / pieces;
      for (const axis of [0, 1]) {
        const [before, from, to, after] = [at(i - 1, axis), at(i, axis), at(i + 1, axis), at(i + 2, axis)];
        const slope = (to - before) / 2;
        const nextSlope = (after - from) / 2;
        const cubic = 2 * (from - to) + slope + nextSlope;
        const square = 3 * (to - from) - 2 * slope - nextSlope;
        result.push(((cubic * u + square) * u + slope) * u + from);
      }
    }
  }
  return result;
}

/** One image's chance: draw k is a hash of the key, the image's number and k. */
class Draws {
  readonly #key: number;
  #count = 0;

  constructor(key: number, index: number) {
    this.#key = scramble(key ^ scramble(index));
  }

  /** In [0, 1), a multiple of 2⁻²⁴. */
  uniform(): number {
    return (scramble(this.#key + Math.imul(this.#count++, 0x9e3779b9)) >>> 8) / 2 ** 24;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** Bell-shaped around 0 with deviation σ and no tail beyond 3.5 σ: four uniform draws have variance 1/3. */
  bell(sigma: number): number {
    return (this.uniform() + this.uniform() + this.uniform() + this.uniform() - 2) * sigma * Math.sqrt(3);
  }
}

/** A bijection of 32 bits that leaves no visible pattern. Source: C. Wellons, "hash-prospector" (lowbias32). */
function scramble(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}
