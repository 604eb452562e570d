/**
 * Stores that bypass the cache, for results so large that they would only push other data out of it: elements are computed into
 * a block that stays in the cache and streamed out from there. Which results are that large is for the engine to say.
 */
import { type LoopKernel, topological } from "../ir.js";
import { isSerial } from "../stages.js";
import type { LoopNest, Range } from "./nest.js";

/** Elements computed into a block before they are streamed out. */
const streamBlock = 1024;

/**
 * Maps whose results all lie in order and are not read. (What a fold along rows stores is soon read again, most often by its
 * gradient: streaming it was slower.)
 */
export function streams(kernel: LoopKernel): boolean {
  if (kernel.inner > 0 || isSerial(kernel)) return false;
  const written = new Set(kernel.stores.map((s) => s.operand));
  return (
    kernel.stores.every((s) => kernel.operands[s.operand]?.step === "unit") &&
    !topological(kernel.stores.map((s) => s.value)).some(
      (e) => (e.op === "load" || e.op === "gather") && written.has(e.slot),
    )
  );
}

/** The element stores, by way of blocks. */
export function streamElements(nest: LoopNest, { from, to }: Range): void {
  nest.open(`for (long block = ${from}; block < ${to}; block += ${streamBlock})`);
  nest.line(`const long stop = ${to} - block < ${streamBlock} ? ${to} : block + ${streamBlock};`);
  const stored = new Set(nest.kernel.stores.map((s) => s.operand));
  for (const o of stored) {
    nest.line(`${nest.storage(o)} block${o}[${streamBlock}] __attribute__((aligned(64)));`);
    nest.staged.set(o, `block${o}[${nest.variable} - block]`);
  }
  nest.elements({ from: "block", to: "stop" });
  for (const o of stored) {
    nest.line(`stream(${nest.cursor}${o} + block, block${o}, (stop - block) * sizeof *block${o});`);
    nest.staged.delete(o);
  }
  nest.close();
}

/**
 * `stream` stores past the cache where the compiler knows how; elsewhere it is a plain copy. Whoever reads the result must find
 * it complete: `stream_end`.
 */
export const streamFunction = `#if defined(__AVX512F__)
typedef long long wide __attribute__((vector_size(64), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(64), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq512((wide_aligned*)(to), v)
#elif defined(__AVX__)
typedef long long wide __attribute__((vector_size(32), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(32), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq256((wide_aligned*)(to), v)
#elif defined(__SSE2__)
typedef long long wide __attribute__((vector_size(16), aligned(1), may_alias));
typedef long long wide_aligned __attribute__((vector_size(16), may_alias));
#define STORE_WIDE(to, v) __builtin_ia32_movntdq((wide_aligned*)(to), v)
#endif
#ifdef __clang__
#undef STORE_WIDE
#if defined(__SSE2__)
#define STORE_WIDE(to, v) __builtin_nontemporal_store(v, (wide_aligned*)(to))
#endif
#endif
static inline void stream(void* target, const void* source, long bytes) {
  char* to = target;
  const char* from = source;
#ifdef STORE_WIDE
  for (; bytes > 0 && (unsigned long)to % sizeof(wide); bytes--) *to++ = *from++;
  for (; bytes >= (long)sizeof(wide); bytes -= sizeof(wide), to += sizeof(wide), from += sizeof(wide)) {
    const wide_aligned v = *(const wide*)from;
    STORE_WIDE(to, v);
  }
#endif
  for (; bytes > 0; bytes--) *to++ = *from++;
}
static inline void stream_end(void) {
#ifdef STORE_WIDE
  __builtin_ia32_sfence();
#endif
}`;
