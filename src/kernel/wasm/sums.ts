/**
 * Accumulators of reductions: their locals, how several of them and their lanes become one result, and the second level that
 * keeps long float32 sums exact. `loop.ts` says when.
 *
 * float32 sums go into float32 partial sums that are moved to a float64 total every CHUNK iterations, so that the error of a
 * sum of n numbers does not grow with n.
 */
import type { Expr, Fold } from "../ir.js";
import type { FunctionBuilder } from "./encoder.js";
import { emitFold, extract, identityOf, type Lanes, localTypeOf, pushConstant, wasmTypeOf } from "./ops.js";

export const CHUNK = 64;

/** Reduction or scan → one accumulator for each copy. */
export type Accumulators = ReadonlyMap<Expr, readonly number[]>;

export const isCascaded = (r: Expr): boolean => r.fold === "sum" && r.type === "f32";

const foldOf = (e: Expr): Fold => e.fold ?? "sum";

/** The accumulators of one pass, of `copies` vectors of `lanes`, and single ones for the tail of a vector loop. */
export class Sums {
  readonly partial: Accumulators;
  readonly tail: Accumulators;
  /** float64: one for a fold along the vector axis, else one for each lane of each copy, as f64x2 (two for four lanes). */
  private readonly totals = new Map<Expr, number[]>();

  constructor(
    private readonly f: FunctionBuilder,
    readonly reduces: readonly Expr[],
    copies: number,
    private readonly lanes: Lanes,
    /** The fold runs along the vector axis: lanes are summands of one result, not results. */
    private readonly along: boolean,
    cascade = true,
  ) {
    this.partial = accumulators(f, reduces, copies, lanes);
    this.tail = along && lanes > 1 ? accumulators(f, reduces, 1, 1) : this.partial;
    for (const r of reduces.filter((e) => cascade && isCascaded(e))) {
      const wide = !along && lanes > 1;
      const count = along ? 1 : lanes === 4 ? 2 * copies : copies;
      const totals = Array.from({ length: count }, () => f.local(wide ? "v128" : "f64"));
      for (const t of totals) {
        pushConstant(f, 0, "f64", wide ? 2 : 1);
        f.set(t);
      }
      this.totals.set(r, totals);
    }
  }

  get cascaded(): boolean {
    return this.totals.size > 0;
  }

  /** Moves the partial sums into the totals. */
  flush(): void {
    const { f, lanes } = this;
    for (const [r, totals] of this.totals) {
      const sums = this.partial.get(r) ?? [];
      if (this.along) {
        f.get(totals[0]);
        this.collapse(r);
        f.op("f64.promote_f32").op("f64.add").set(totals[0]);
        if (this.tail !== this.partial) reset(f, r, (this.tail.get(r) ?? [])[0], 1);
      } else if (lanes === 4) {
        sums.forEach((p, c) => {
          f.get(totals[2 * c])
            .get(p)
            .op("f64x2.promote_low_f32x4")
            .op("f64x2.add")
            .set(totals[2 * c]);
          f.get(totals[2 * c + 1])
            .get(p)
            .get(p)
            .shuffle([8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);
          f.op("f64x2.promote_low_f32x4")
            .op("f64x2.add")
            .set(totals[2 * c + 1]);
        });
      } else {
        const [promote, add] = lanes === 2 ? ["f64x2.promote_low_f32x4", "f64x2.add"] : ["f64.promote_f32", "f64.add"];
        sums.forEach((p, c) => f.get(totals[c]).get(p).op(promote).op(add).set(totals[c]));
      }
      for (const p of sums) reset(f, r, p, lanes);
    }
  }

  /** The results, after the last flush: a single value, or one for each copy. */
  results(r: Expr): readonly number[] {
    const { f, lanes } = this;
    const totals = this.totals.get(r);
    if (this.along) {
      const out = f.local(wasmTypeOf[r.type]);
      if (totals !== undefined) f.get(totals[0]).op("f32.demote_f64");
      else this.collapse(r);
      f.set(out);
      return [out];
    }
    const sums = this.partial.get(r) ?? [];
    if (totals === undefined) return sums;
    sums.forEach((p, c) => {
      if (lanes === 4) {
        f.get(totals[2 * c])
          .op("f32x4.demote_f64x2_zero")
          .get(totals[2 * c + 1])
          .op("f32x4.demote_f64x2_zero");
        f.shuffle([0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
      } else f.get(totals[c]).op(lanes === 2 ? "f32x4.demote_f64x2_zero" : "f32.demote_f64");
      f.set(p);
    });
    return sums;
  }

  /** Pushes the fold of all copies, their lanes and the tail. */
  private collapse(r: Expr): void {
    const { f, lanes } = this;
    const sums = this.partial.get(r) ?? [];
    f.get(sums[0]);
    for (const sum of sums.slice(1)) {
      f.get(sum);
      emitFold(f, foldOf(r), r.type, lanes);
    }
    if (lanes === 1) return;
    const v = f.local("v128");
    f.set(v);
    for (let k = 0; k < lanes; k++) {
      f.get(v);
      extract(f, r.type, lanes, k);
      if (k % 2 === 1) emitFold(f, foldOf(r), r.type, 1);
    }
    if (lanes === 4) emitFold(f, foldOf(r), r.type, 1);
    for (const t of this.tail.get(r) ?? []) {
      f.get(t);
      emitFold(f, foldOf(r), r.type, 1);
    }
  }
}

/** Fresh locals, set to what folding nothing gives. */
export function accumulators(f: FunctionBuilder, folds: readonly Expr[], copies: number, lanes: Lanes): Accumulators {
  const out = new Map<Expr, number[]>();
  for (const e of folds) {
    const locals = Array.from({ length: copies }, () => f.local(localTypeOf(e.type, lanes)));
    for (const local of locals) reset(f, e, local, lanes);
    out.set(e, locals);
  }
  return out;
}

function reset(f: FunctionBuilder, e: Expr, local: number, lanes: Lanes): void {
  pushConstant(f, identityOf(foldOf(e), e.type), e.type, lanes);
  f.set(local);
}
