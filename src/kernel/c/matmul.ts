/**
 * Renders a matrix product for CPUs with vector registers, after Goto and van de Geijn ("Anatomy of High-Performance
 * Matrix Multiplication", 2008): B is packed once into slivers of NR columns (`pack`, in parallel), then each task packs a
 * block of A into slivers of MR rows and runs an MR×NR micro-kernel whose accumulators never leave the registers.
 * Any strides come in through packing; every size is right because slivers are padded with zeros and edges are clipped
 * when they are stored.
 */
import type { Expr, MatmulKernel } from "../ir.js";
import { cType, emitExpr, type Names } from "./expression.js";

export interface Tiling {
  /** Bytes of a vector register: 64 (AVX-512), 32 (AVX2), 16 (NEON, SSE). */
  readonly vector: number;
  /** Rows of the micro-kernel, and its columns in vectors. */
  readonly rows: number;
  readonly columns: number;
  /** Depth of a packed block: a sliver of B of this depth stays in the first-level cache. */
  readonly depth: number;
  /** Micro-kernel rows in a packed block of A, which stays in the second-level cache. */
  readonly blockRows: number;
}

export function tilingFor(vector: number): Tiling {
  if (vector === 64) return { vector, rows: 14, columns: 2, depth: 320, blockRows: 14 * 10 };
  if (vector === 32) return { vector, rows: 6, columns: 2, depth: 256, blockRows: 6 * 20 };
  return { vector, rows: 6, columns: 4, depth: 256, blockRows: 6 * 20 };
}

/** Columns of one sliver of B. */
export const sliverColumns = (t: Tiling, bytes: number): number => (t.vector / bytes) * t.columns;

/** Where the numbers of the argument block stand (see MatmulKernel). The engine appends the block sizes of its tasks. */
export const matmulArguments = [
  "A",
  "B",
  "C",
  "bias",
  "scratch",
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
  "bias_n",
  "block_m",
  "block_n",
] as const;

export function renderMatmul(kernel: MatmulKernel, tiling: Tiling): string {
  const type = kernel.type === "float32" ? "float" : "double";
  const bytes = kernel.type === "float32" ? 4 : 8;
  const width = tiling.vector / bytes;
  const { rows: MR, columns, depth: KC } = tiling;
  const NR = width * columns;
  const rows = [...Array(MR).keys()];
  const cols = [...Array(columns).keys()];
  const declare = rows.map((i) => cols.map((j) => `c${i}_${j} = {0}`).join(", ")).join(", ");
  const step = rows.map((i) => `{ const T x = a[${i}]; ${cols.map((j) => `c${i}_${j} += b${j} * x;`).join(" ")} }`);
  const argument = (name: (typeof matmulArguments)[number]): number => matmulArguments.indexOf(name);
  const long = matmulArguments.slice(5).map((name) => `const long ${name} = (long)args[${argument(name)}];`);
  const pointer = (name: "A" | "B" | "C" | "bias" | "scratch"): string =>
    `T* const ${name} = (T*)(unsigned long)args[${argument(name)}];`;

  return `typedef ${type} T;
typedef T V __attribute__((vector_size(${tiling.vector}), aligned(${bytes}), may_alias));
enum { MR = ${MR}, NR = ${NR}, KC = ${KC}, MC = ${tiling.blockRows}, W = ${width} };

#define ARGUMENTS \\
  ${[pointer("A"), pointer("B"), pointer("C"), pointer("bias"), pointer("scratch"), ...long].join(" \\\n  ")} \\
  const long slivers = (N + NR - 1) / NR;

${transpose(width, kernel.type)}

/* W rows (those from count on are zero) of depth numbers each, written as depth columns of W, step apart. */
static __attribute__((noinline)) void packTransposed(T* to, long step, const T* from, long stride, long count, long depth) {
  long k = 0;
  for (; k + W <= depth; k += W) {
    V r[W];
    for (long n = 0; n < W; n++) r[n] = n < count ? *(const V*)(from + n * stride + k) : (V){0};
    transpose(r);
    for (long l = 0; l < W; l++) *(V*)(to + (k + l) * step) = r[l];
  }
  for (; k < depth; k++)
    for (long n = 0; n < W; n++) to[k * step + n] = n < count ? from[n * stride + k] : 0;
}

/* B as [batch][k block][sliver][k][NR]; a unit is one sliver of one k block of one batch. */
void pack(const double* args, long begin, long end) {
  ARGUMENTS
  const long blocks = (K + KC - 1) / KC;
  for (long u = begin; u < end; u++) {
    const long sliver = u % slivers, block = u / slivers % blocks, b = u / slivers / blocks;
    const long k0 = block * KC, depth = K - k0 < KC ? K - k0 : KC;
    const long n0 = sliver * NR, count = N - n0 < NR ? N - n0 : NR;
    const T* from = B + b * B_b + k0 * B_k + n0 * B_n;
    T* to = scratch + (b * K + k0) * slivers * NR + sliver * depth * NR;
    if (count == NR && B_n == 1) {
      for (long k = 0; k < depth; k++)
        for (long n = 0; n < NR; n += W) *(V*)(to + k * NR + n) = *(const V*)(from + k * B_k + n);
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

static __attribute__((noinline)) void packA(T* to, const T* from, long count, long depth, long A_m, long A_k) {
  for (long m0 = 0; m0 < count; m0 += MR) {
    const long rows = count - m0 < MR ? count - m0 : MR;
    const T* at = from + m0 * A_m;
    if (rows == MR && A_m == 1) {
      for (long k = 0; k < depth; k++)
        for (long m = 0; m < MR; m++) to[k * MR + m] = at[k * A_k + m];
    } else if (A_k == 1) {
      /* From the last group down: lanes beyond MR are written over by what comes next. */
      for (long g = (MR - 1) / W * W; g >= 0; g -= W) packTransposed(to + g, MR, at + g * A_m, A_m, rows - g, depth);
    } else {
      for (long k = 0; k < depth; k++) {
        for (long m = 0; m < rows; m++) to[k * MR + m] = at[m * A_m + k * A_k];
        for (long m = rows; m < MR; m++) to[k * MR + m] = 0;
      }
    }
    to += MR * depth;
  }
}

static inline __attribute__((always_inline)) void micro(
    long depth, const T* restrict a, const T* restrict b, T* restrict c, long C_m, int first) {
  V ${declare};
  for (long k = 0; k < depth; k++) {
    const V ${cols.map((j) => `b${j} = *(const V*)(b + ${j * width})`).join(", ")};
    ${step.join("\n    ")}
    a += MR;
    b += NR;
  }
  if (first) {
    ${rows.map((i) => cols.map((j) => `*(V*)(c + ${i} * C_m + ${j * width}) = c${i}_${j};`).join(" ")).join("\n    ")}
  } else {
    ${rows.map((i) => cols.map((j) => `*(V*)(c + ${i} * C_m + ${j * width}) += c${i}_${j};`).join(" ")).join("\n    ")}
  }
}

/* A unit is one block_m × block_n block of C of one batch. */
void run(const double* args, long begin, long end) {
  ARGUMENTS
  static __thread T panel[MC * KC + W] __attribute__((aligned(64)));
  const long blocksM = (M + block_m - 1) / block_m, blocksN = (N + block_n - 1) / block_n;
  for (long u = begin; u < end; u++) {
    const long b = u / (blocksM * blocksN);
    const long m0 = u / blocksN % blocksM * block_m, n0 = u % blocksN * block_n;
    const long m1 = m0 + block_m < M ? m0 + block_m : M, n1 = n0 + block_n < N ? n0 + block_n : N;
    for (long mc = m0; mc < m1; mc += MC) {
      const long height = m1 - mc < MC ? m1 - mc : MC;
      for (long k0 = 0; k0 < K || k0 == 0; k0 += KC) {
        const long depth = K - k0 < KC ? K - k0 : KC;
        const int first = k0 == 0, last = k0 + KC >= K;
        packA(panel, A + b * A_b + mc * A_m + k0 * A_k, height, depth, A_m, A_k);
        const T* packed = scratch + (b * K + k0) * slivers * NR;
        for (long n = n0; n < n1; n += NR) {
          const T* sliver = packed + n / NR * depth * NR;
          const long columns = n1 - n < NR ? n1 - n : NR;
          for (long m = 0; m < height; m += MR) {
            const long rows = height - m < MR ? height - m : MR;
            T* c = C + b * C_b + (mc + m) * C_m + n;
            if (rows == MR && columns == NR) {
              micro(depth, panel + m * depth, sliver, c, C_m, first);
            } else {
              T tile[MR * NR] __attribute__((aligned(64)));
              micro(depth, panel + m * depth, sliver, tile, NR, 1);
              for (long i = 0; i < rows; i++)
                for (long j = 0; j < columns; j++)
                  c[i * C_m + j] = first ? tile[i * NR + j] : c[i * C_m + j] + tile[i * NR + j];
            }
${finish(kernel)}
          }
        }
      }
    }
  }
}
`;
}

/**
 * Transposes W vectors of W lanes in registers: log₂W rounds in which rows i and i + W/2 are interleaved into rows 2i and
 * 2i + 1. GCC and clang spell the shuffle differently.
 */
function transpose(width: number, type: string): string {
  const lanes = [...Array(width).keys()];
  const low = lanes.map((i) => (i >> 1) + (i & 1) * width).join(", ");
  const high = lanes.map((i) => width / 2 + (i >> 1) + (i & 1) * width).join(", ");
  const round = lanes
    .slice(0, width / 2)
    .map(
      (i) => `b[${2 * i}] = LOW(a[${i}], a[${i + width / 2}]); b[${2 * i + 1}] = HIGH(a[${i}], a[${i + width / 2}]);`,
    );
  const rounds = Math.log2(width);
  const body = [...Array(rounds).keys()].map(
    (r) => `{ V* a = ${r % 2 ? "t" : "r"}; V* b = ${r % 2 ? "r" : "t"}; ${round.join(" ")} }`,
  );
  return `typedef ${type === "float32" ? "int" : "long long"} I __attribute__((vector_size(sizeof(V))));
#if defined(__clang__)
#define LOW(x, y) __builtin_shufflevector(x, y, ${low})
#define HIGH(x, y) __builtin_shufflevector(x, y, ${high})
#else
#define LOW(x, y) __builtin_shuffle(x, y, (I){${low}})
#define HIGH(x, y) __builtin_shuffle(x, y, (I){${high}})
#endif
static inline __attribute__((always_inline)) void transpose(V* r) {
  V t[W];
  ${body.join("\n  ")}
  ${rounds % 2 ? "for (long l = 0; l < W; l++) r[l] = t[l];" : ""}
}`;
}

/** The epilogue runs on a tile that is still in the first-level cache. */
function finish(kernel: MatmulKernel): string {
  if (kernel.finish === null) return "";
  const type = kernel.type === "float32" ? "f32" : "f64";
  const lines: string[] = [];
  const never = (): string => {
    throw new Error("a matrix product's epilogue has only loads 0 and 1");
  };
  const names: Names = {
    load: (slot) => (slot === 0 ? "c[i * C_m + j]" : "bias[(n + j) * bias_n]"),
    gather: never,
    scalar: never,
    index: never,
    fold: never,
  };
  const value = emitExpr(kernel.finish as Expr, new Map(), lines, names);
  return `            if (last) {
              for (long i = 0; i < rows; i++) {
                #pragma GCC ivdep
                for (long j = 0; j < columns; j++) {
                  ${lines.join("\n                  ")}
                  c[i * C_m + j] = (${cType[type]})${value};
                }
              }
            }`;
}
