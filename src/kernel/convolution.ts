/**
 * What a convolution kernel is told at launch, and how an engine cuts its work into blocks. Both passes work on *planes*: the
 * input of a block, padded, and with a stride sorted by position modulo the stride, so that every tap of the filter reads
 * them at unit stride, a constant distance from where the output stands. No matrix of patches is ever made.
 */

/** The addresses, in the order of the argument block. `scratch` holds the packed weights. */
export const convolutionPointers = ["X", "W_", "Y", "bias", "taps", "scratch"] as const;

/** Numbers that follow from the shapes; `ops/` gives them. See ConvolutionKernel. */
export const convolutionNumbers = [
  "batch",
  "groups",
  "C", // channels of X a group
  "M", // channels of Y a group
  "T_", // taps
  "X_b",
  "X_c",
  "X_d", // sizes of X, whose last three dimensions are contiguous
  "X_h",
  "X_w",
  "stride_d",
  "stride_h",
  "stride_w",
  "pad_d", // zeros before the first element; negative where the first elements are not read
  "pad_h",
  "pad_w",
  "phases_d", // positions modulo the stride that taps read: at most the stride
  "phases_h",
  "phases_w",
  "halo_d", // elements that taps read beyond those of a 1 × 1 × 1 filter
  "halo_h",
  "halo_w",
  "W_g",
  "W_m",
  "W_c",
  "Y_d", // sizes of Y
  "Y_h",
  "Y_w",
  "Ys_b", // strides of Y
  "Ys_m",
  "Ys_d",
  "Ys_h",
  "Ys_w",
] as const;

/** What the engine adds. */
export const convolutionBlocks = [
  "images", // whose planes stand side by side, so that small ones fill a tile
  "rows", // of Y in a block
  "channels", // of X in a block
  "tile", // rows of a tile
  "share", // correlate: channels of Y a unit; weights: parts into which a group's images are cut
  "copy", // 0 where X itself serves as planes
  "P_c", // strides of planes: channel, phase, depth, image, row
  "P_f",
  "P_d",
  "P_i",
  "P_h",
  "W_p", // weights: from one part's result to the next
] as const;

export type ConvolutionNumber = (typeof convolutionNumbers)[number];
export type ConvolutionBlock = (typeof convolutionBlocks)[number];
export type Geometry = Readonly<Record<ConvolutionNumber, number>>;

/** Where blocks should end for a processor. */
export interface ConvolutionTuning {
  /** Columns of a tile, and its rows in each pass. */
  readonly columns: number;
  readonly tileRows: number;
  readonly weightRows: number;
  /** Elements of planes that stay in the second-level cache. */
  readonly planes: number;
  /** Depth at which a tile's operands still fit the first-level cache. */
  readonly depth: number;
}

export interface ConvolutionBlocks {
  readonly values: readonly number[];
  readonly units: number;
  /** Elements a unit needs for planes, and for what it packs or sums (weights). */
  readonly planes: number;
}

/** What a convolution is, by name, from the numbers of a launch. */
export const geometry = (params: ArrayLike<number>): Geometry =>
  Object.fromEntries(convolutionNumbers.map((name, i) => [name, params[i]])) as unknown as Geometry;

export const multiplications = (g: Geometry): number => g.batch * g.groups * g.C * g.M * g.T_ * g.Y_d * g.Y_h * g.Y_w;

/** Parts into which the weights' gradient is cut: one sum each, added up afterwards. */
export function weightParts(g: Geometry, threads: number): number {
  if (threads === 1 || multiplications(g) / g.groups < 1 << 19) return 1;
  return Math.max(1, Math.min(threads, g.batch * g.Y_h));
}

export function planCorrelation(g: Geometry, threads: number, t: ConvolutionTuning): ConvolutionBlocks {
  const depthBlocks = Math.max(1, Math.ceil((g.C * g.T_) / t.depth));
  const channels = Math.max(1, Math.ceil(g.C / depthBlocks));
  let copy = mustCopy(g);
  if (!copy && (g.Y_h - 1) * g.X_w + g.Y_w < t.columns) copy = true;
  const images = copy ? imagesTogether(g, t.columns) : 1;
  const width = g.Y_w + g.halo_w;
  const perRow = channels * phasesOf(g) * (g.Y_d + g.halo_d) * images * width;
  const rows = copy ? rowsWithin(g, perRow, t.planes) : g.Y_h;
  const s = strides(g, copy, images, rows);
  const tiles = Math.ceil(g.M / t.tileRows);
  const tile = Math.ceil(g.M / tiles);
  const blocks = Math.ceil(g.batch / images) * g.groups * Math.ceil(g.Y_h / rows);
  // Every unit makes its planes anew: the channels of Y are only shared out where there is too little else.
  const cuts = blocks >= threads * 3 || threads === 1 ? 1 : Math.min(tiles, threads);
  const share = Math.ceil(tiles / cuts) * tile;
  return {
    values: [images, rows, channels, tile, share, copy ? 1 : 0, ...s, 0],
    units: blocks * Math.max(1, Math.ceil(g.M / share)),
    planes: copy ? channels * (s[0] as number) + 2 * t.columns : 0,
  };
}

/** The gradient of the weights: K are the positions of a block. `planes` includes the packed gradient and the sums. */
export function planWeights(g: Geometry, parts: number, t: ConvolutionTuning): ConvolutionBlocks {
  const copy = mustCopy(g);
  const wide = Math.ceil(g.M / t.columns) * t.columns;
  // At least so many positions that adding to the sums costs little.
  const enough = 256;
  const positions = g.Y_h * g.Y_w;
  const images = copy ? Math.max(1, Math.min(Math.ceil(enough / positions), Math.ceil(g.batch / parts))) : 1;
  const width = g.Y_w + g.halo_w;
  const perRow =
    images * (wide * g.Y_w + (copy ? g.C * phasesOf(g) * (g.Y_d + g.halo_d) * width : g.C * g.Y_w * g.Y_d));
  const least = Math.min(g.Y_h, Math.ceil(enough / (images * g.Y_w)));
  const rows = Math.max(least, rowsWithin(g, perRow, t.planes));
  const s = strides(g, copy, images, rows);
  const rowTiles = Math.ceil((g.C * g.T_) / t.weightRows);
  const tile = Math.ceil((g.C * g.T_) / rowTiles);
  return {
    values: [images, rows, g.C, tile, parts, copy ? 1 : 0, ...s, g.groups * g.M * g.C * g.T_],
    units: g.groups * parts,
    planes: (copy ? g.C * (s[0] as number) : 0) + images * rows * g.Y_w * wide + g.C * g.T_ * wide + 2 * t.columns,
  };
}

const phasesOf = (g: Geometry): number => g.phases_d * g.phases_h * g.phases_w;

/** Only where nothing is padded and no step skipped does X serve as it is. */
function mustCopy(g: Geometry): boolean {
  const plain = (pad: number, stride: number, x: number, y: number, halo: number): boolean =>
    pad === 0 && stride === 1 && x === y + halo;
  return !(
    plain(g.pad_d, g.stride_d, g.X_d, g.Y_d, g.halo_d) &&
    plain(g.pad_h, g.stride_h, g.X_h, g.Y_h, g.halo_h) &&
    plain(g.pad_w, g.stride_w, g.X_w, g.Y_w, g.halo_w)
  );
}

/** How many images' planes stand side by side: as many as waste least of the tiles' columns. */
function imagesTogether(g: Geometry, columns: number): number {
  const width = g.Y_w + g.halo_w;
  const one = (g.Y_h - 1) * width + g.Y_w;
  const plane = (g.Y_h + g.halo_h) * width;
  if (one > 4 * columns) return 1;
  let best = 1;
  let least = Number.POSITIVE_INFINITY;
  for (let n = 1; n <= Math.min(g.batch, 16); n++) {
    const cost = Math.ceil(((n - 1) * plane + one) / columns) / n;
    if (cost < least * 0.95) [best, least] = [n, cost];
  }
  return best;
}

/** Rows of Y whose planes fit, in blocks of nearly equal size. */
function rowsWithin(g: Geometry, perRow: number, planes: number): number {
  const fit = Math.max(1, Math.floor(planes / Math.max(1, perRow)) - g.halo_h, Math.min(g.Y_h, g.halo_h));
  return Math.max(1, Math.ceil(g.Y_h / Math.ceil(g.Y_h / fit)));
}

function strides(g: Geometry, copy: boolean, images: number, rows: number): [number, number, number, number, number] {
  if (!copy) return [g.X_c, 0, g.X_h * g.X_w, g.X_b, g.X_w];
  const P_h = g.Y_w + g.halo_w;
  const P_i = (rows + g.halo_h) * P_h;
  const P_d = images * P_i;
  const P_f = (g.Y_d + g.halo_d) * P_d;
  const P_c = phasesOf(g) * P_f;
  // Channels a multiple of 4 KiB apart would all fall into one set of the first-level cache.
  return [P_c % 512 < 16 || P_c % 512 > 496 ? P_c + 40 : P_c, P_f, P_d, P_i, P_h];
}
