/**
 * Micro-kernels: the inner loops of matrix products and convolutions, which hold a tile of the result in registers over the
 * whole depth. There is one for every number of rows, so that a matrix is cut into tiles of nearly equal height and no row is
 * computed in vain.
 */

export type MatrixType = "float32" | "float64";

/** A processor's vector registers: bytes of one (AVX-512 64, AVX2 32, NEON and SSE 16), and how many there are. */
export interface Vectors {
  readonly bytes: 64 | 32 | 16;
  readonly count: 16 | 32;
}

/** How C types of a matrix type are written, and how many fit a vector register of `vector` bytes. */
export interface Lanes {
  readonly type: MatrixType;
  readonly vector: number;
  readonly width: number;
}

export function lanesOf(type: MatrixType, vector: number): Lanes {
  return { type, vector, width: vector / (type === "float32" ? 4 : 8) };
}

const range = (n: number): number[] => [...Array(n).keys()];

/** Memory of a thread's own, kept from one launch to the next. */
export const workspace = `extern int posix_memalign(void**, unsigned long, unsigned long);
extern void free(void*);
extern void abort(void);
static void* workspace(unsigned long bytes) {
  static __thread void* memory = 0;
  static __thread unsigned long size = 0;
  if (size < bytes) {
    free(memory);
    if (posix_memalign(&memory, 64, bytes)) abort();
    size = bytes;
  }
  return memory;
}`;

/** T, V and W; loads and stores of the first `n` lanes of a vector, which touch no memory beyond them. */
export function vectorTypes({ type, vector, width }: Lanes): string {
  const scalar = type === "float32" ? "float" : "double";
  const bytes = vector / width;
  const suffix = type === "float32" ? "ps" : "pd";
  const mask = type === "float32" ? "int" : "long long";
  const masked =
    vector === 64
      ? `#if defined(__AVX512F__)
typedef T Whole __attribute__((vector_size(64)));
#define MASK(n) ((${width === 16 ? "unsigned short" : "unsigned char"})((1u << (n)) - 1))
static inline __attribute__((always_inline)) void storePart(T* to, V v, long n) {
  __builtin_ia32_storeu${suffix}512_mask((void*)to, (Whole)v, MASK(n));
}
static inline __attribute__((always_inline)) V loadPart(const T* from, long n) {
  return (V)__builtin_ia32_loadu${suffix}512_mask((const void*)from, (Whole){0}, MASK(n));
}
#else
${scalarParts}
#endif`
      : vector === 32
        ? `#if defined(__AVX__)
typedef T Whole __attribute__((vector_size(32)));
typedef ${mask} Mask __attribute__((vector_size(32)));
#define MASK(n) ((Mask){${range(width).join(", ")}} < (Mask){} + (${mask})(n))
static inline __attribute__((always_inline)) void storePart(T* to, V v, long n) {
  __builtin_ia32_maskstore${suffix}256((void*)to, MASK(n), (Whole)v);
}
static inline __attribute__((always_inline)) V loadPart(const T* from, long n) {
  return (V)__builtin_ia32_maskload${suffix}256((const void*)from, MASK(n));
}
#else
${scalarParts}
#endif`
        : scalarParts;
  return `typedef ${scalar} T;
typedef T V __attribute__((vector_size(${vector}), aligned(${bytes}), may_alias));
enum { W = ${width} };
${masked}`;
}

// By way of memory: a vector that is indexed by a variable would lie there for the whole of the loop that computes it.
const scalarParts = `static inline void storePart(T* to, V v, long n) { T part[W]; *(V*)part = v; for (long i = 0; i < n; i++) to[i] = part[i]; }
static inline V loadPart(const T* from, long n) { T part[W] = {0}; for (long i = 0; i < n; i++) part[i] = from[i]; return *(V*)part; }`;

/**
 * Transposes W vectors of W lanes in registers: log₂W rounds in which rows i and i + W/2 are interleaved into rows 2i and
 * 2i + 1. GCC and clang spell the shuffle differently.
 */
export function transpose({ type, width }: Lanes): string {
  const lanes = range(width);
  const low = lanes.map((i) => (i >> 1) + (i & 1) * width).join(", ");
  const high = lanes.map((i) => width / 2 + (i >> 1) + (i & 1) * width).join(", ");
  const round = lanes
    .slice(0, width / 2)
    .map(
      (i) => `b[${2 * i}] = LOW(a[${i}], a[${i + width / 2}]); b[${2 * i + 1}] = HIGH(a[${i}], a[${i + width / 2}]);`,
    );
  const rounds = Math.log2(width);
  const body = range(rounds).map(
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
}

/* W rows (those from count on are zero) of depth numbers each, written as depth columns of W, step apart. */
static __attribute__((noinline)) void packTransposed(T* to, long step, const T* from, long stride, long count, long depth) {
  long k = 0;
  for (; k + W <= depth; k += W) {
    V r[W];
    for (long n = 0; n < W; n++) r[n] = n < count ? *(const V*)(from + n * stride + k) : (V){0};
    transpose(r);
    for (long l = 0; l < W; l++) *(V*)(to + (k + l) * step) = r[l];
  }
  if (k < depth) {
    V r[W];
    for (long n = 0; n < W; n++) r[n] = n < count ? loadPart(from + n * stride + k, depth - k) : (V){0};
    transpose(r);
    for (long l = 0; l < depth - k; l++) *(V*)(to + (k + l) * step) = r[l];
  }
}`;
}

/** The accumulators of a tile, and c ← c + (or ←) them. */
function accumulators(rows: number, columns: number) {
  const cols = range(columns);
  const each = (f: (i: number, j: number) => string): string =>
    range(rows)
      .map((i) => cols.map((j) => f(i, j)).join(" "))
      .join("\n    ");
  return {
    declare: each((i, j) => `V c${i}_${j} = {0};`),
    bias: each((i, j) => `c${i}_${j} += bias[${i}];`),
    set: each((i, j) => `*(V*)(c + ${i} * C_m + ${j} * W) = c${i}_${j};`),
    add: each((i, j) => `*(V*)(c + ${i} * C_m + ${j} * W) += c${i}_${j};`),
    /** The first n columns; `lengths` says how many of each vector they are. */
    parts: each((i, j) => `storePart(c + ${i} * C_m + ${j} * W, c${i}_${j}, n${j});`),
    addParts: each((i, j) => {
      const at = `c + ${i} * C_m + ${j} * W`;
      return `storePart(${at}, loadPart(${at}, n${j}) + c${i}_${j}, n${j});`;
    }),
    lengths: cols.map((j) => `const long n${j} = n < ${j} * W ? 0 : n - ${j} * W < W ? n - ${j} * W : W;`).join(" "),
    step: (a: (i: number) => string) =>
      range(rows)
        .map((i) => `{ const T x = ${a(i)}; ${cols.map((j) => `c${i}_${j} += b${j} * x;`).join(" ")} }`)
        .join("\n      "),
    load: (b: string) => `const V ${cols.map((j) => `b${j} = *(const V*)(${b} + ${j} * W)`).join(", ")};`,
  };
}

/** How a tile's rows of A lie: packed as [k][rows], or with a stride A_m between rows and A_k along the depth. */
type RowsOfA = "packed" | "strided";

/**
 * `tile(rows)(depth, a[, A_m, A_k], b, at, c, C_m, bias, first, n)`: rows × `columns` vectors of C from A and rows of B that start at
 * b + at[k]. Only the first n columns are written.
 */
export function tileKernels(name: string, most: number, columns: number, rowsOfA: RowsOfA): string {
  // Five rows from one pointer: 0, 1, 2 and 4 strides away processors add themselves, 3 is kept.
  const group = 5;
  const places = ["0", "A_m", "2 * A_m", "A_m3", "4 * A_m"];
  const strides = rowsOfA === "strided" ? "long, long, " : "";
  const one = (rows: number): string => {
    const acc = accumulators(rows, columns);
    const pointers = range(Math.ceil(rows / group));
    const a =
      rowsOfA === "packed"
        ? { strides: "", declare: "", number: (i: number) => `a[${i}]`, next: `a += ${rows};` }
        : {
            strides: "long A_m, long A_k, ",
            declare: `const long A_m3 = 3 * A_m;
    ${pointers.map((p) => `const T* a${p} = a + ${group * p} * A_m;`).join(" ")}`,
            number: (i: number) => `a${Math.floor(i / group)}[${places[i % group]}]`,
            next: pointers.map((p) => `a${p} += A_k;`).join(" "),
          };
    return `static __attribute__((noinline)) void ${name}${rows}(
    long depth, const T* restrict a, ${a.strides}const T* restrict b, const int* restrict at, T* restrict c, long C_m,
    const T* bias, int first, long n) {
    ${acc.declare}
    ${a.declare}
    for (long k = 0; k < depth; k++) {
      const T* const row = b + at[k];
      ${acc.load("row")}
      ${acc.step(a.number)}
      ${a.next}
    }
    if (bias) {
    ${acc.bias}
    }
    if (n < ${columns} * W) {
    ${acc.lengths}
    if (first) {
    ${acc.parts}
    } else {
    ${acc.addParts}
    }
    } else if (first) {
    ${acc.set}
    } else {
    ${acc.add}
    }
}`;
  };
  const all = range(most).map((i) => i + 1);
  return `${all.map(one).join("\n")}
typedef void (*${name}Kernel)(long, const T*, ${strides}const T*, const int*, T*, long, const T*, int, long);
static const ${name}Kernel ${name}s[] = {0, ${all.map((i) => `${name}${i}`).join(", ")}};`;
}

/**
 * `rows(n)(runs, at, length, a, b, c)`: n × `columns` vectors of a tile of sums, [row][columns], kept in c. Row i of A is read
 * in `runs` pieces of `length` numbers, that begin at a[i] + at[run]; B is packed, [k][columns].
 */
export function rowKernels(name: string, most: number, columns: number): string {
  const one = (rows: number): string => {
    const acc = accumulators(rows, columns);
    return `static __attribute__((noinline)) void ${name}${rows}(
    long runs, const int* at, long length, const T* const* restrict a, const T* restrict b, T* restrict c, long C_m) {
    ${acc.declare}
    const T ${range(rows)
      .map((i) => `*const a${i} = a[${i}]`)
      .join(", ")};
    for (long run = 0; run < runs; run++) {
      const long end = at[run] + length;
      for (long k = at[run]; k < end; k++) {
        ${acc.load("b")}
        ${acc.step((i) => `a${i}[k]`)}
        b += ${columns} * W;
      }
    }
    ${acc.add}
}`;
  };
  const all = range(most).map((i) => i + 1);
  return `${all.map(one).join("\n")}
typedef void (*${name}Kernel)(long, const int*, long, const T* const*, const T*, T*, long);
static const ${name}Kernel ${name}s[] = {0, ${all.map((i) => `${name}${i}`).join(", ")}};`;
}
