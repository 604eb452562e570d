/**
 * Renders convolutions for CPUs with vector registers. A unit makes planes of its block of the input (see
 * kernel/convolution.ts) and runs the micro-kernels of `micro.ts` straight over them:
 *
 *  - correlate: a tile is some channels of Y by consecutive positions of the planes. A is the packed weights, row k of B begins
 *    at the position plus the distance of tap k. Positions between the rows of Y are computed and not stored.
 *  - weights: a tile is some (channel, tap) pairs by consecutive channels of Y. Rows of A are the planes themselves, read at
 *    each tap's distance; B is the gradient of Y, packed with its channels side by side.
 */
import { type ConvolutionTuning, convolutionBlocks, convolutionNumbers, convolutionPointers } from "../convolution.js";
import type { ConvolutionKernel } from "../ir.js";
import {
  lanesOf,
  type MatrixType,
  rowKernels,
  tileKernels,
  transpose,
  type Vectors,
  vectorTypes,
  workspace,
} from "./micro.js";

interface Tile {
  readonly rows: number;
  /** Rows read through pointers of their own, which have to find room in registers. */
  readonly weightRows: number;
  /** In vectors. */
  readonly columns: number;
}

function tileFor({ bytes, count }: Vectors): Tile {
  if (bytes === 64) return { rows: 14, weightRows: 12, columns: 2 };
  if (count === 32) return { rows: 7, weightRows: 6, columns: 3 };
  return { rows: 6, weightRows: 6, columns: 2 };
}

export function convolutionTuning(type: MatrixType, vectors: Vectors): ConvolutionTuning {
  const { rows, weightRows, columns } = tileFor(vectors);
  const { width } = lanesOf(type, vectors.bytes);
  const half = type === "float32" ? 1 : 2;
  return { columns: columns * width, tileRows: rows, weightRows, planes: (1 << 17) / half, depth: 448 / half };
}

export function renderConvolution(kernel: ConvolutionKernel, vectors: Vectors): string {
  const lanes = lanesOf(kernel.type, vectors.bytes);
  const tile = tileFor(vectors);
  const pointers = convolutionPointers.map((name, i) =>
    name === "taps"
      ? `const int* const taps = (const int*)(unsigned long)args[${i}];`
      : `T* const ${name} = (T*)(unsigned long)args[${i}];`,
  );
  const numbers = [...convolutionNumbers, ...convolutionBlocks].map(
    (name, i) => `const long ${name} = (long)args[${pointers.length + i}];`,
  );
  return `${workspace}
${vectorTypes(lanes)}
enum { NR = ${tile.columns * lanes.width}, MR = ${tile.rows} };
#define ARGUMENTS \\
  ${[...pointers, ...numbers].join(" \\\n  ")}
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Taps are (phase, depth, row, column of a plane; element of the weights). */
#define PLACE(t) (taps[5 * (t)] * P_f + taps[5 * (t) + 1] * P_d + taps[5 * (t) + 2] * P_h + taps[5 * (t) + 3])

/* The planes of count channels of so many images, from output row h0 on: [channel][phase][depth][image][row][column]. */
static __attribute__((noinline)) void planes(T* to, const T* x, long count, long many, long h0, const double* args) {
  ARGUMENTS
  const long deep = Y_d + halo_d, high = rows + halo_h, wide = Y_w + halo_w;
  for (long c = 0; c < count; c++)
    for (long f = 0; f < phases_d * phases_h * phases_w; f++) {
      const long fw = f % phases_w, fh = f / phases_w % phases_h, fd = f / phases_w / phases_h;
      const long skip = pad_w - fw;
      long lo = skip > 0 ? (skip + stride_w - 1) / stride_w : 0;
      long hi = X_w + skip > 0 ? (X_w + skip - 1) / stride_w + 1 : 0;
      if (lo > wide) lo = wide;
      if (hi > wide) hi = wide;
      if (hi < lo) hi = lo;
      for (long d = 0; d < deep; d++) {
        const long sd = d * stride_d + fd - pad_d;
        for (long i = 0; i < many; i++) {
          const T* const image = x + i * X_b + c * X_c + sd * X_h * X_w;
          for (long h = 0; h < high; h++) {
            const long sh = (h0 + h) * stride_h + fh - pad_h;
            T* const row = to + c * P_c + f * P_f + d * P_d + i * P_i + h * P_h;
            long w = 0;
            if (sd >= 0 && sd < X_d && sh >= 0 && sh < X_h) {
              const T* const from = image + sh * X_w - skip;
              for (; w < lo; w++) row[w] = 0;
              if (stride_w == 1) {
                for (; w + W <= hi; w += W) *(V*)(row + w) = *(const V*)(from + w);
                if (w < hi) storePart(row + w, loadPart(from + w, hi - w), hi - w);
                w = hi;
              } else
                for (; w < hi; w++) row[w] = from[w * stride_w];
            }
            for (; w < wide; w++) row[w] = 0;
          }
        }
      }
    }
}
${kernel.pass === "correlate" ? correlate(kernel, tile) : weights(lanes, tile)}`;
}

function correlate(kernel: ConvolutionKernel, tile: Tile): string {
  return `
${tileKernels("tile", tile.rows, tile.columns, "packed")}

/* Weights as [group][block of channels][tile][k][row]; a unit is one tile of one block of one group. */
void pack(const double* args, long begin, long end) {
  ARGUMENTS
  const long tiles = (M + tile - 1) / tile, blocks = (C + channels - 1) / channels;
  for (long u = begin; u < end; u++) {
    const long m0 = u % tiles * tile, c0 = u / tiles % blocks * channels, g = u / tiles / blocks;
    const long high = MIN(tile, M - m0), count = MIN(channels, C - c0);
    const T* const from = W_ + g * W_g + m0 * W_m + c0 * W_c;
    T* const to = scratch + g * M * C * T_ + c0 * T_ * M + m0 * count * T_;
    for (long c = 0; c < count; c++)
      for (long m = 0; m < high; m++) {
        const T* const at = from + c * W_c + m * W_m;
        for (long t = 0; t < T_; t++) to[(c * T_ + t) * high + m] = at[taps[5 * t + 4]];
      }
  }
}

/* A unit is a block of images, a group, a block of rows and some channels of Y. */
void run(const double* args, long begin, long end) {
  ARGUMENTS
  const long rowBlocks = (Y_h + rows - 1) / rows, cuts = (M + share - 1) / share;
  const long room = copy ? channels * P_c + 2 * NR : 0;
  T* const own = workspace(room * sizeof(T) + channels * T_ * sizeof(int) + 64);
  int* const at = (int*)(own + room);
  for (long c = 0; c < channels; c++)
    for (long t = 0; t < T_; t++) at[c * T_ + t] = c * P_c + PLACE(t);
  for (long u = begin; u < end; u++) {
    const long first_m = u % cuts * share, last_m = MIN(M, first_m + share);
    const long h0 = u / cuts % rowBlocks * rows, g = u / cuts / rowBlocks % groups, i0 = u / cuts / rowBlocks / groups * images;
    const long many = MIN(images, batch - i0), high = MIN(rows, Y_h - h0);
    const long total = (many - 1) * P_i + (high - 1) * P_h + Y_w;
    for (long c0 = 0; c0 < C || c0 == 0; c0 += channels) {
      const long count = MIN(channels, C - c0), depth = count * T_;
      const T* base = X + i0 * X_b + (g * C + c0) * X_c;
      if (copy) {
        planes(own, base, count, many, h0, args);
        base = own;
      } else
        base += h0 * P_h;
      const T* const packed = scratch + g * M * C * T_ + c0 * T_ * M;
      /* A shallow sum costs less than its way to memory: tiles then keep to the rows of Y, if those nearly fill them. */
      const int aligned = depth <= 64 && (Y_w + NR - 1) / NR * NR * 5 <= Y_w * 6;
      for (long d = 0; d < Y_d; d++) {
        T* const y = Y + i0 * Ys_b + g * M * Ys_m + d * Ys_d + h0 * Ys_h;
        for (long n0 = 0, stop; n0 < total; n0 = stop) {
          stop = MIN(n0 + NR, total);
          if (aligned) {
            const long w = n0 % P_i % P_h;
            stop = w < Y_w ? MIN(stop, n0 + Y_w - w) : MIN(total, n0 + P_h - w);
          }
          /* Beyond X there may be no memory: the last tile begins so early that it ends with X. */
          const long start = !copy && n0 + NR > total ? total - NR : n0;
          /* What of the tile's columns is stored, and where. */
          long from[NR], length[NR], to[NR], runs = 0;
          for (long n = n0; n < stop;) {
            const long i = n / P_i, h = (n - i * P_i) / P_h, w = n - i * P_i - h * P_h;
            if (many > 1 && h >= high) {
              n = (i + 1) * P_i;
            } else if (w >= Y_w) {
              n += P_h - w;
            } else {
              const long fit = MIN(Y_w - w, stop - n);
              from[runs] = n - start;
              length[runs] = fit;
              to[runs++] = i * Ys_b + h * Ys_h + w * Ys_w;
              n += fit;
            }
          }
          const int direct = runs == 1 && from[0] == 0 && Ys_w == 1;
          for (long m = first_m; m < last_m && runs > 0; m += tile) {
            const long tall = MIN(tile, last_m - m);
            const T* const b = ${kernel.bias ? "c0 == 0 ? bias + g * M + m : 0" : "0"};
            if (direct) {
              tiles[tall](depth, packed + m * depth, base + d * P_d + start, at, y + m * Ys_m + to[0], Ys_m, b, c0 == 0, length[0]);
              continue;
            }
            T part[(MR + 1) * NR] __attribute__((aligned(64)));
            tiles[tall](depth, packed + m * depth, base + d * P_d + start, at, part, NR, b, 1, NR);
            for (long i = 0; i < tall; i++)
              for (long r = 0; r < runs; r++) {
                const T* const p = part + i * NR + from[r];
                T* const c = y + (m + i) * Ys_m + to[r];
                if (Ys_w == 1) {
                  for (long j = 0; j < length[r]; j += W) {
                    const long n = MIN(W, length[r] - j);
                    V v = *(const V*)(p + j);
                    if (c0 > 0) v += loadPart(c + j, n);
                    storePart(c + j, v, n);
                  }
                } else
                  for (long j = 0; j < length[r]; j++) c[j * Ys_w] = c0 > 0 ? c[j * Ys_w] + p[j] : p[j];
              }
          }
        }
      }
    }
  }
}
`;
}

function weights(lanes: ReturnType<typeof lanesOf>, tile: Tile): string {
  return `
${transpose(lanes)}
${rowKernels("rowTile", tile.weightRows, tile.columns)}

/* A unit is one group and one part of the images and rows. */
void run(const double* args, long begin, long end) {
  ARGUMENTS
  const long wide = (M + NR - 1) / NR * NR, pairs = C * T_;
  const long rowBlocks = (Y_h + rows - 1) / rows, items = (batch + images - 1) / images * rowBlocks;
  const long room = copy ? C * P_c + NR : 0, positions = images * rows * Y_w;
  T* const own = workspace((room + (positions + pairs) * wide) * sizeof(T) + (pairs + images * rows) * sizeof(int) + 64);
  T* const packed = own + room;
  T* const sums = packed + positions * wide;
  int* const place = (int*)(sums + pairs * wide);
  int* const at = place + pairs;
  for (long c = 0; c < C; c++)
    for (long t = 0; t < T_; t++) place[c * T_ + t] = c * P_c + PLACE(t);
  for (long u = begin; u < end; u++) {
    const long g = u / share, part = u % share;
    for (long j = 0; j < pairs * wide; j++) sums[j] = 0;
    for (long item = items * part / share; item < items * (part + 1) / share; item++) {
      const long i0 = item / rowBlocks * images, h0 = item % rowBlocks * rows;
      const long many = MIN(images, batch - i0), high = MIN(rows, Y_h - h0);
      const T* base = X + i0 * X_b + g * C * X_c;
      if (copy) {
        planes(own, base, C, many, h0, args);
        base = own;
      } else
        base += h0 * P_h;
      /* Rows without a gap between them are one. */
      const int joined = P_h == Y_w && Ys_h == Y_w;
      const long lines = joined ? 1 : high, length = joined ? high * Y_w : Y_w, runs = many * lines;
      for (long i = 0; i < many; i++)
        for (long h = 0; h < lines; h++) at[i * lines + h] = i * P_i + h * P_h;
      for (long d = 0; d < Y_d; d++) {
        const T* const y = Y + i0 * Ys_b + g * M * Ys_m + d * Ys_d + h0 * Ys_h;
        const int flat = Ys_h == Y_w;
        for (long m = 0; m < M; m += NR) {
          T* to = packed + m * runs * length;
          for (long i = 0; i < many; i++)
            for (long h = 0; h < (flat ? 1 : high); h++) {
              const long depth = flat ? high * Y_w : Y_w;
              for (long n = 0; n < NR; n += W)
                packTransposed(to + n, NR, y + i * Ys_b + (m + n) * Ys_m + h * Ys_h, Ys_m, M - m - n, depth);
              to += depth * NR;
            }
        }
        for (long p = 0; p < pairs; p += tile) {
          const long tall = MIN(tile, pairs - p);
          const T* a[${tile.weightRows}];
          for (long i = 0; i < tall; i++) a[i] = base + d * P_d + place[p + i];
          for (long m = 0; m < M; m += NR)
            rowTiles[tall](runs, at, length, a, packed + m * runs * length, sums + p * wide + m, wide);
        }
      }
    }
    T* const to = W_ + part * W_p + g * W_g;
    for (long m = 0; m < M; m++)
      for (long c = 0; c < C; c++)
        for (long t = 0; t < T_; t++) to[m * W_m + c * W_c + taps[5 * t + 4]] = sums[(c * T_ + t) * wide + m];
  }
}
`;
}
