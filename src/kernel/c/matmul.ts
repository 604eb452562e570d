/**
 * Renders a matrix product for CPUs with vector registers, after Goto and van de Geijn ("Anatomy of High-Performance
 * Matrix Multiplication", 2008): a task packs a block of B into slivers of NR columns, takes one block of A after another, packed
 * into tiles of rows or where it lies, and runs the micro-kernels of `micro.ts`. A small B whose rows are contiguous is read where it
 * lies, too. Columns beyond the last are zeros in the last sliver, and not stored. Each task packs for itself: what another core has
 * just written is further away than memory that both only read.
 */
import { epiloguePointer } from "./epilogue.js";
import { lanesOf, type MatrixType, tileKernels, transpose, type Vectors, vectorTypes, workspace } from "./micro.js";

export interface Tiling {
  /** Bytes of a vector register. */
  readonly vector: number;
  /** The most rows of a tile, and its columns in vectors. */
  readonly rows: number;
  readonly columns: number;
  /** The greatest depth of a packed block: a sliver of B of this depth stays in the first-level cache. */
  readonly depth: number;
  /** Tiles of full depth in a packed block of A, which stays in the second-level cache. */
  readonly blockTiles: number;
  /** Slivers of full depth in a packed block of B, which stays in the second-level cache too where that is large, else in the third. */
  readonly blockSlivers: number;
}

/**
 * Tiles that leave registers for a row of B and a number of A: one more and compilers keep sums in memory. `near` is the size of a
 * core's second-level cache in bytes: one of 2 MB has room for a deep block of B, so that C goes to memory and back less often.
 */
export function tilingFor({ bytes, count }: Vectors, near: number): Tiling {
  if (bytes === 64 && near >= 2 << 20) {
    return { vector: bytes, rows: 14, columns: 2, depth: 512, blockTiles: 5, blockSlivers: 16 };
  }
  if (bytes === 64) return { vector: bytes, rows: 14, columns: 2, depth: 320, blockTiles: 10, blockSlivers: 64 };
  if (count === 32) return { vector: bytes, rows: 7, columns: 3, depth: 256, blockTiles: 20, blockSlivers: 170 };
  return { vector: bytes, rows: 6, columns: 2, depth: 304, blockTiles: 20, blockSlivers: 128 };
}

/** Columns of one sliver of B. */
export const sliverColumns = (t: Tiling, bytes: number): number => (t.vector / bytes) * t.columns;

/** Where the numbers of the argument block stand; those of the epilogue (`epilogue.ts`) follow. */
export const matmulArguments = [
  "A",
  "B",
  "C",
  "epilogue", // the address of a function, or 0
  "batch",
  "M",
  "N",
  "K",
  "A_b",
  "A_m",
  "A_k",
  "B_b",
  "B_k",
  "B_n",
  "C_b",
  "C_m",
  "C_n",
  "turned", // 1 where C is computed as its transpose
  "tile_m", // rows of a tile
  "packed", // 0 where B is read as it lies
  "direct", // 1 where A is
  "block_m",
  "block_n",
  "block_k",
] as const;
const pointers = 3;

/** The epilogue runs on so many columns at a time: long loops that read the sums from the second-level cache. */
const finishColumns = 256;

/** The product alone: it is the same library whatever its epilogue. */
export function renderMatmul(type: MatrixType, tiling: Tiling): string {
  const lanes = lanesOf(type, tiling.vector);
  const { rows: MR, columns, depth: KC } = tiling;
  const declare = matmulArguments.map((name, i) => {
    if (name === "epilogue") return `${epiloguePointer(type, "const epilogue")} = (void*)(unsigned long)args[${i}];`;
    return i < pointers
      ? `T* const ${name} = (T*)(unsigned long)args[${i}];`
      : `const long ${name} = (long)args[${i}];`;
  });

  return `${workspace}
${vectorTypes(lanes)}
enum { MR = ${MR}, NR = ${columns * lanes.width}, KC = ${KC}, MC = ${MR * tiling.blockTiles}, NC = ${tiling.blockSlivers} * NR };
#define MIN(a, b) ((a) < (b) ? (a) : (b))

${transpose(lanes)}

${tileKernels("micro", MR, columns, "strided")}
${tileKernels("narrow", MR, 1, "strided")}

/* Columns of B as [sliver][k][NR]. */
static __attribute__((noinline)) void packB(T* to, const T* from, long columns, long depth, long B_k, long B_n) {
  if (B_n == 1) {
    /* Some rows at a time, so that they are read in their order. */
    enum { ROWS = 8 };
    for (long k0 = 0; k0 < depth; k0 += ROWS)
      for (long n0 = 0; n0 < columns; n0 += NR) {
        const long count = MIN(NR, columns - n0);
        for (long k = k0; k < MIN(depth, k0 + ROWS); k++)
          for (long n = 0; n < NR; n += W) {
            const T* const p = from + k * B_k + n0 + n;
            *(V*)(to + n0 * depth + k * NR + n) = count - n >= W ? *(const V*)p : count > n ? loadPart(p, count - n) : (V){0};
          }
      }
    return;
  }
  for (long n0 = 0; n0 < columns; n0 += NR) {
    const long count = MIN(NR, columns - n0);
    const T* const at = from + n0 * B_n;
    if (B_k == 1) {
      for (long g = 0; g < NR; g += W) packTransposed(to + g, NR, at + g * B_n, B_n, count - g, depth);
    } else {
      for (long k = 0; k < depth; k++) {
        for (long n = 0; n < count; n++) to[k * NR + n] = at[k * B_k + n * B_n];
        for (long n = count; n < NR; n++) to[k * NR + n] = 0;
      }
    }
    to += depth * NR;
  }
}

/* Rows of A as [tile][k][row]. What is written beyond a tile's rows, what follows writes over. */
static __attribute__((noinline)) void packA(T* to, const T* from, long count, long tile, long depth, long A_m, long A_k) {
  if (A_m == 1) {
    /* As the numbers lie; processors do not see by themselves that the next row is wanted soon. */
    enum { AHEAD = 8 };
    for (long k = 0; k < depth; k++, from += A_k) {
      for (long m = 0; m < count; m += 64 / sizeof(T)) __builtin_prefetch(from + AHEAD * A_k + m);
      for (long m0 = 0; m0 < count; m0 += tile) {
        const long rows = MIN(tile, count - m0);
        for (long m = 0; m < rows; m += W) {
          T* const at = to + m0 * depth + k * rows + m;
          const V v = loadPart(from + m0 + m, MIN(W, rows - m));
          if (k + 1 < depth) *(V*)at = v;
          else storePart(at, v, MIN(W, rows - m));
        }
      }
    }
    return;
  }
  for (long m0 = 0; m0 < count; m0 += tile) {
    const long rows = MIN(tile, count - m0);
    const T* at = from + m0 * A_m;
    if (A_k == 1) {
      /* From the last group down: lanes beyond the rows are written over by what comes next. */
      for (long g = (rows - 1) / W * W; g >= 0; g -= W) packTransposed(to + g, rows, at + g * A_m, A_m, rows - g, depth);
    } else {
      for (long k = 0; k < depth; k++)
        for (long m = 0; m < rows; m++) to[k * rows + m] = at[m * A_m + k * A_k];
    }
    to += rows * depth;
  }
}

/* From this depth on C is asked for when a tile is begun. */
enum { DEEP = 128 };

/* One tile of C, where the first skip columns of the sliver belong to another. Of C's strides at least one is 1. */
static inline void tile(
    long rows, long columns, long skip, long depth, const T* a, long A_m, long A_k, const T* b, const int* at, T* c, long C_m, long C_n,
    int first) {
  const int thin = columns <= W && skip == 0;
  const microKernel run = thin ? narrows[rows] : micros[rows];
  if (C_n == 1 && skip == 0) {
    /* C is needed when the sums are done. */
    if (depth >= DEEP)
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j += 64 / sizeof(T)) __builtin_prefetch(c + i * C_m + j, 1);
    run(depth, a, A_m, A_k, b, at, c, C_m, 0, first, columns);
    return;
  }
  /* Of W rows for transpose(), which are not all filled. */
  T part[((MR + W - 1) / W * W + 1) * NR] __attribute__((aligned(64)));
  run(depth, a, A_m, A_k, b, at, part, NR, 0, 1, thin ? W : NR);
  if (C_n != 1) {
    for (long g = 0; g < rows; g += W)
      for (long j = 0; j < columns; j += W) {
        V v[W];
        for (long i = 0; i < W; i++) v[i] = *(const V*)(part + (g + i) * NR + skip + j);
        transpose(v);
        const long high = MIN(W, rows - g);
        for (long l = 0; l < MIN(W, columns - j); l++) {
          T* const to = c + g + (j + l) * C_n;
          if (!first) v[l] += loadPart(to, high);
          storePart(to, v[l], high);
        }
      }
    return;
  }
  for (long i = 0; i < rows; i++) {
    for (long j = 0; j < columns; j += W) {
      const long count = MIN(W, columns - j);
      V v = *(const V*)(part + i * NR + skip + j);
      if (!first) v += loadPart(c + i * C_m + j, count);
      storePart(c + i * C_m + j, v, count);
    }
  }
}

/* A unit is one block_m × block_n block of C of one batch. */
void run(const double* args, long begin, long end) {
  ${declare.join("\n  ")}
  static __thread T panel[MC * KC + W] __attribute__((aligned(64)));
  int at[KC];
  const long step = packed ? NR : B_k;
  for (long k = 0; k < MIN(K, block_k); k++) at[k] = k * step;
  const long blocksM = (M + block_m - 1) / block_m, blocksN = (N + block_n - 1) / block_n;
  /* The fewer steps deep, the larger are the blocks, but rows of C lie in as many pages of memory. */
  const long tall = MIN(2 * MC / MR, MC * KC / (tile_m * block_k)) * tile_m;
  const long wide = packed ? MIN(NC * KC / (NR * block_k) * NR, (block_n + NR - 1) / NR * NR) : block_n;
  T* const own = packed ? workspace((wide * block_k + NR) * sizeof(T)) : 0;
  for (long u = begin; u < end; u++) {
    const long b = u / (blocksM * blocksN);
    const long m0 = u / blocksN % blocksM * block_m, m1 = MIN(M, m0 + block_m);
    const long start = u % blocksN * block_n, stop = MIN(N, start + block_n);
    for (long n0 = start; n0 < stop; n0 += wide) {
      const long n1 = MIN(stop, n0 + wide);
      for (long k0 = 0; k0 < K || k0 == 0; k0 += block_k) {
        const long depth = MIN(block_k, K - k0);
        const int first = k0 == 0, last = k0 + block_k >= K;
        const T* const from = B + b * B_b + k0 * B_k;
        if (packed) packB(own, from + n0 * B_n, n1 - n0, depth, B_k, B_n);
        for (long mc = m0; mc < m1; mc += tall) {
          const long height = MIN(tall, m1 - mc);
          const T* const rowsOfA = A + b * A_b + mc * A_m + k0 * A_k;
          if (!direct) packA(panel, rowsOfA, height, tile_m, depth, A_m, A_k);
          for (long n = n0, finished = n0; n < n1; n += NR) {
            const long columns = MIN(NR, n1 - n);
            /* Beyond B there may be no memory: its last tile begins so early that it ends with it. */
            const long skip = packed || n + NR <= N ? 0 : n + NR - N;
            const T* const sliver = packed ? own + (n - n0) * depth : from + n - skip;
            T* const c = C + b * C_b + mc * C_m + n * C_n;
            for (long m = 0; m < height; m += tile_m) {
              const long rows = MIN(tile_m, height - m);
              const T* const a = direct ? rowsOfA + m * A_m : panel + m * depth;
              tile(rows, columns, skip, depth, a, direct ? A_m : 1, direct ? A_k : rows, sliver, at, c + m * C_m, C_m, C_n, first);
            }
            const long done = n + columns;
            if (last && epilogue && (done == n1 || done - finished >= ${finishColumns})) {
              T* const c = C + b * C_b + mc * C_m + finished * C_n;
              const double* const extra = args + ${matmulArguments.length};
              if (turned) epilogue(c, C_n, done - finished, height, b, finished, mc, extra);
              else epilogue(c, C_m, height, done - finished, b, mc, finished, extra);
              finished = done;
            }
          }
        }
      }
    }
  }
}
`;
}
