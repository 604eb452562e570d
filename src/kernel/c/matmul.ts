/**
 * Renders a matrix product for CPUs with vector registers, after Goto and van de Geijn ("Anatomy of High-Performance
 * Matrix Multiplication", 2008): B is packed once into slivers of NR columns (`pack`, in parallel), then each task packs a
 * block of A into tiles of rows and runs the micro-kernels of `micro.ts`. A small B whose rows are contiguous is read where it
 * lies. Any strides come in through packing; columns beyond the last are zeros in the last sliver, and not stored.
 */
import { epiloguePointer } from "./epilogue.js";
import { lanesOf, type MatrixType, tileKernels, transpose, type Vectors, vectorTypes } from "./micro.js";

export interface Tiling {
  /** Bytes of a vector register. */
  readonly vector: number;
  /** The most rows of a tile, and its columns in vectors. */
  readonly rows: number;
  readonly columns: number;
  /** The greatest depth of a packed block: a sliver of B of this depth stays in the first-level cache. */
  readonly depth: number;
  /** Tiles in a packed block of A, which stays in the second-level cache. */
  readonly blockTiles: number;
}

/** Tiles that leave registers for a row of B and a number of A: one more and compilers keep sums in memory. */
export function tilingFor({ bytes, count }: Vectors): Tiling {
  if (bytes === 64) return { vector: bytes, rows: 14, columns: 2, depth: 320, blockTiles: 10 };
  if (count === 32) return { vector: bytes, rows: 7, columns: 3, depth: 256, blockTiles: 20 };
  return { vector: bytes, rows: 6, columns: 2, depth: 304, blockTiles: 20 };
}

/** Columns of one sliver of B. */
export const sliverColumns = (t: Tiling, bytes: number): number => (t.vector / bytes) * t.columns;

/** Where the numbers of the argument block stand; those of the epilogue (`epilogue.ts`) follow. */
export const matmulArguments = [
  "A",
  "B",
  "C",
  "scratch",
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
  "tile", // rows of a tile
  "packed", // 0 where B is read as it lies
  "block_m",
  "block_n",
  "block_k",
] as const;
const pointers = 4;

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

  return `${vectorTypes(lanes)}
enum { MR = ${MR}, NR = ${columns * lanes.width}, KC = ${KC}, MC = ${MR * tiling.blockTiles} };
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#define ARGUMENTS \\
  ${declare.join(" \\\n  ")} \\
  const long slivers = (N + NR - 1) / NR;

${transpose(lanes)}

${tileKernels("micro", MR, columns)}

/* B as [batch][k block][sliver][k][NR]; a unit is one sliver of one k block of one batch. */
void pack(const double* args, long begin, long end) {
  ARGUMENTS
  const long blocks = (K + block_k - 1) / block_k;
  for (long u = begin; u < end; u++) {
    const long sliver = u % slivers, block = u / slivers % blocks, b = u / slivers / blocks;
    const long k0 = block * block_k, depth = MIN(block_k, K - k0);
    const long n0 = sliver * NR, count = MIN(NR, N - n0);
    const T* from = B + b * B_b + k0 * B_k + n0 * B_n;
    T* to = scratch + (b * K + k0) * slivers * NR + sliver * depth * NR;
    if (B_n == 1) {
      for (long k = 0; k < depth; k++)
        for (long n = 0; n < NR; n += W) {
          const T* const at = from + k * B_k + n;
          *(V*)(to + k * NR + n) = count - n >= W ? *(const V*)at : count > n ? loadPart(at, count - n) : (V){0};
        }
    } else if (B_k == 1) {
      for (long g = 0; g < NR; g += W) packTransposed(to + g, NR, from + g * B_n, B_n, count - g, depth);
    } else {
      for (long k = 0; k < depth; k++) {
        for (long n = 0; n < count; n++) to[k * NR + n] = from[k * B_k + n * B_n];
        for (long n = count; n < NR; n++) to[k * NR + n] = 0;
      }
    }
  }
}

/* Rows of A as [tile][k][row]. What is written beyond a tile, the next one overwrites. */
static __attribute__((noinline)) void packA(T* to, const T* from, long count, long tile, long depth, long A_m, long A_k) {
  for (long m0 = 0; m0 < count; m0 += tile) {
    const long rows = MIN(tile, count - m0);
    const T* at = from + m0 * A_m;
    if (A_m == 1) {
      for (long k = 0; k < depth; k++)
        for (long m = 0; m < rows; m += W) *(V*)(to + k * rows + m) = loadPart(at + k * A_k + m, MIN(W, rows - m));
    } else if (A_k == 1) {
      /* From the last group down: lanes beyond the rows are written over by what comes next. */
      for (long g = (rows - 1) / W * W; g >= 0; g -= W) packTransposed(to + g, rows, at + g * A_m, A_m, rows - g, depth);
    } else {
      for (long k = 0; k < depth; k++)
        for (long m = 0; m < rows; m++) to[k * rows + m] = at[m * A_m + k * A_k];
    }
    to += rows * depth;
  }
}

/* A unit is one block_m × block_n block of C of one batch. */
void run(const double* args, long begin, long end) {
  ARGUMENTS
  static __thread T panel[MC * KC + W] __attribute__((aligned(64)));
  int at[KC];
  const long step = packed ? NR : B_k;
  for (long k = 0; k < MIN(K, block_k); k++) at[k] = k * step;
  const long blocksM = (M + block_m - 1) / block_m, blocksN = (N + block_n - 1) / block_n;
  const long tall = MC / MR * tile;
  for (long u = begin; u < end; u++) {
    const long b = u / (blocksM * blocksN);
    const long m0 = u / blocksN % blocksM * block_m, n0 = u % blocksN * block_n;
    const long m1 = MIN(M, m0 + block_m), n1 = MIN(N, n0 + block_n);
    for (long mc = m0; mc < m1; mc += tall) {
      const long height = MIN(tall, m1 - mc);
      for (long k0 = 0; k0 < K || k0 == 0; k0 += block_k) {
        const long depth = MIN(block_k, K - k0);
        const int first = k0 == 0;
        const int last = k0 + block_k >= K;
        packA(panel, A + b * A_b + mc * A_m + k0 * A_k, height, tile, depth, A_m, A_k);
        const T* const block = packed ? scratch + (b * K + k0) * slivers * NR : B + b * B_b + k0 * B_k;
        for (long n = n0, finished = n0; n < n1; n += NR) {
          const long columns = MIN(NR, n1 - n);
          /* Beyond B there may be no memory: its last tile begins so early that it ends with it. */
          const long skip = packed || n + NR <= N ? 0 : n + NR - N;
          const T* const sliver = packed ? block + n / NR * depth * NR : block + n - skip;
          for (long m = 0; m < height; m += tile) {
            const long rows = MIN(tile, height - m);
            T* c = C + b * C_b + (mc + m) * C_m + n * C_n;
            if (C_n == 1 && skip == 0 && (first || columns == NR)) {
              micros[rows](depth, panel + m * depth, sliver, at, c, C_m, 0, first, columns);
            } else {
              T part[(MR + 1) * NR] __attribute__((aligned(64)));
              micros[rows](depth, panel + m * depth, sliver, at, part, NR, 0, 1, NR);
              for (long i = 0; i < rows; i++) {
                const T* const p = part + i * NR + skip;
                if (C_n == 1)
                  for (long j = 0; j < columns; j += W) {
                    const long count = MIN(W, columns - j);
                    V v = *(const V*)(p + j);
                    if (!first) v += loadPart(c + i * C_m + j, count);
                    storePart(c + i * C_m + j, v, count);
                  }
                else
                  for (long j = 0; j < columns; j++) {
                    T* const x = c + i * C_m + j * C_n;
                    *x = first ? p[j] : *x + p[j];
                  }
              }
            }
          }
          const long end = n + columns;
          if (last && epilogue && (end == n1 || end - finished >= ${finishColumns})) {
            T* const c = C + b * C_b + mc * C_m + finished * C_n;
            const double* const own = args + ${matmulArguments.length};
            if (turned) epilogue(c, C_n, end - finished, height, b, finished, mc, own);
            else epilogue(c, C_m, height, end - finished, b, mc, finished, own);
            finished = end;
          }
        }
      }
    }
  }
}
`;
}
