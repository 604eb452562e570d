/**
 * Evaluates expressions inside a loop nest: which local holds which value, what moves out of which loop, and how leaves (loads,
 * indices, gathers) become code. The loops themselves are `loop.ts`'s.
 *
 * Values live in scopes, one for each loop. A scope outside the vector loop keeps each value as it is and splatted.
 */
import { bytesOf, type Expr, type LoopKernel } from "../ir.js";
import type { FunctionBuilder } from "./encoder.js";
import { type Cursor, loadElements, loadScalar } from "./memory.js";
import { emit, emitFold, extract, type Lanes, localTypeOf, pushConstant, replace, splat } from "./ops.js";
import type { Plan, Variant } from "./plan.js";
import type { Accumulators } from "./sums.js";

export interface Scope {
  readonly parent: Scope | null;
  readonly level: number;
  /** Inside the vector loop: `maps[c]` holds the values of copy c, of `lanes` lanes. Outside: `maps[0]`, and `splats`. */
  readonly varying: boolean;
  readonly lanes: Lanes;
  /** Elements from one copy to the next. */
  readonly apart: number;
  readonly maps: readonly Map<Expr, number>[];
  readonly splats: Map<Expr, number>;
  /** Operand → pointer local. */
  readonly pointers: ReadonlyMap<number, number>;
}

/** The locals that hold the launch's arguments, and the loops' counters. */
export interface Registers {
  readonly base: readonly number[];
  readonly size: readonly number[];
  /** `stride[operand][axis]`, in bytes; −1 where nobody asks. */
  readonly stride: readonly (readonly number[])[];
  readonly scalars: readonly number[];
  /** The current index of each axis. */
  readonly counters: readonly number[];
}

export class Values {
  /** The running folds of the scans of the pass at hand. */
  scanning: Accumulators = new Map();
  /** What an earlier pass kept: expression → the operand in whose row it lies. */
  readonly readBack = new Map<Expr, number>();

  constructor(
    private readonly f: FunctionBuilder,
    private readonly kernel: LoopKernel,
    private readonly plan: Plan,
    private readonly at: Registers,
  ) {}

  /** Pushes a value, from the local that holds it or by computing it. */
  push(e: Expr, scope: Scope, copy: number): void {
    const { f } = this;
    const lanes = scope.lanes;
    const known = this.find(e, scope, copy);
    if (known !== undefined) {
      f.get(known);
      return;
    }
    const row = this.readBack.get(e);
    if (row !== undefined) {
      loadElements(f, this.cursor(row, scope), e.type, lanes, copy * scope.apart);
      this.remember(e, scope, copy);
      return;
    }
    switch (e.op) {
      case "const":
        pushConstant(f, e.value, e.type, lanes);
        return;
      case "scalar":
        f.get(this.at.scalars[e.slot]);
        splat(f, e.type, lanes);
        return;
      case "index":
        this.pushIndex(e.slot, lanes, copy * scope.apart);
        break;
      case "load":
        loadElements(f, this.cursor(e.slot, scope), e.type, lanes, copy * scope.apart);
        break;
      case "gather":
        this.pushGather(e, scope, copy);
        break;
      case "scan": {
        const acc = (this.scanning.get(e) as readonly number[])[copy];
        f.get(acc);
        this.push(e.args[0], scope, copy);
        emitFold(f, e.fold ?? "sum", e.type, lanes);
        f.tee(acc);
        scope.maps[copy].set(e, acc);
        return;
      }
      case "reduce":
        throw new Error(`${this.kernel.name}: a reduction was used before its pass`);
      default:
        emit(f, e, lanes, (i) => this.push(e.args[i], scope, copy));
    }
    this.remember(e, scope, copy);
  }

  /** Leaves what is on the stack in a local too, if it is used again. */
  private remember(e: Expr, scope: Scope, copy: number): void {
    if ((this.plan.uses.get(e) ?? 0) <= 1) return;
    const local = this.f.local(localTypeOf(e.type, scope.lanes));
    this.f.tee(local);
    scope.maps[copy].set(e, local);
  }

  private pushIndex(axis: number, lanes: Lanes, first: number): void {
    const { f } = this;
    f.get(this.at.counters[axis]);
    splat(f, "i32", lanes);
    if (axis !== this.plan.axis) return;
    if (lanes > 1) f.v128(new Uint8Array(Int32Array.of(first, first + 1, first + 2, first + 3).buffer)).op("i32x4.add");
    else if (first > 0) f.i32(first).op("i32.add");
  }

  private pushGather(e: Expr, scope: Scope, copy: number): void {
    const { f, plan } = this;
    const lanes = scope.lanes;
    const storage = this.kernel.operands[e.slot].type;
    const at = e.args[0];
    const address = (): void => {
      f.i32(bytesOf[storage]).op("i32.mul").get(this.at.base[e.slot]).op("i32.add");
    };
    if (lanes === 1) {
      this.push(at, scope, copy);
      address();
      loadScalar(f, storage);
      return;
    }
    // rows of a table: an index that moves with the vector axis is a run of elements
    const moving = at.args.findIndex((a) => a.op === "index" && a.slot === plan.axis);
    const start = at.op === "add" && moving >= 0 ? at.args[1 - moving] : null;
    if (start !== null && plan.levelOf(start) < (this.kernel.vector === "inner" ? plan.depth : 2)) {
      const pointer = f.local("i32");
      const known = this.findScalar(start, scope);
      if (known !== undefined || start.op === "const") {
        if (known !== undefined) f.get(known);
        else pushConstant(f, start.value, start.type, 1);
        f.get(this.at.counters[plan.axis]).op("i32.add");
        address();
        f.set(pointer);
        loadElements(
          f,
          { operand: { type: storage, step: "unit" }, pointer, stride: -1 },
          e.type,
          lanes,
          copy * scope.apart,
        );
        return;
      }
    }
    const where = f.local("v128");
    this.push(at, scope, copy);
    f.set(where);
    for (let k = 0; k < lanes; k++) {
      f.get(where);
      extract(f, "i32", lanes, k);
      address();
      loadScalar(f, storage);
      if (k === 0) splat(f, e.type, lanes);
      else replace(f, e.type, lanes, k);
    }
  }

  cursor(slot: number, scope: Scope): Cursor {
    for (let s: Scope | null = scope; s !== null; s = s.parent) {
      const pointer = s.pointers.get(slot);
      if (pointer !== undefined) {
        const stride = this.plan.axis < 0 ? -1 : this.at.stride[slot][this.plan.axis];
        return { operand: this.kernel.operands[slot], pointer, stride };
      }
    }
    throw new Error(`${this.kernel.name}: operand ${slot} has no pointer here`);
  }

  // ── scopes ──

  uniform(parent: Scope | null, level: number, pointers: ReadonlyMap<number, number>): Scope {
    return { parent, level, varying: false, lanes: 1, apart: 1, maps: [new Map()], splats: new Map(), pointers };
  }

  varying(
    parent: Scope,
    level: number,
    { copies, lanes, apart }: Variant,
    pointers: ReadonlyMap<number, number>,
  ): Scope {
    const maps = Array.from({ length: copies }, () => new Map<Expr, number>());
    return { parent, level, varying: true, lanes, apart, maps, splats: new Map(), pointers };
  }

  private find(e: Expr, scope: Scope, copy: number): number | undefined {
    for (let s: Scope | null = scope; s !== null; s = s.parent) {
      const map = s.varying ? s.maps[copy] : scope.lanes === 1 ? s.maps[0] : s.splats;
      const local = map.get(e);
      if (local !== undefined) return local;
    }
    return undefined;
  }

  private findScalar(e: Expr, scope: Scope): number | undefined {
    for (let s: Scope | null = scope; s !== null; s = s.parent) {
      const local = s.varying ? undefined : s.maps[0].get(e);
      if (local !== undefined) return local;
    }
    return undefined;
  }

  /** Computes, in `scope`, the largest parts of `roots` that do not vary in the loops inside it. */
  hoist(roots: readonly Expr[], scope: Scope): void {
    const seen = new Set<Expr>();
    const visit = (e: Expr): void => {
      if (seen.has(e)) return;
      seen.add(e);
      if (this.plan.levelOf(e) <= scope.level) {
        scope.maps.forEach((_, c) => {
          this.keep(e, scope, c);
        });
      } else if (e.op !== "reduce") for (const a of e.args) visit(a);
    };
    for (const r of roots) visit(r);
  }

  /** Makes sure that a local holds `e`; outside the vector loop, one for its splat too. */
  keep(e: Expr, scope: Scope, copy: number): void {
    const { f, plan } = this;
    const bare = e.op === "const" && scope.lanes === 1;
    if (!bare && this.find(e, scope, copy) === undefined) {
      const local = f.local(localTypeOf(e.type, scope.lanes));
      this.push(e, scope, copy);
      f.set(local);
      scope.maps[copy].set(e, local);
    }
    if (!scope.varying && plan.lanes > 1) this.define(scope, e, this.find(e, scope, copy) ?? -1);
  }

  /** Enters a single value held in `local` (−1: a constant) into a scope outside the vector loop, with its splat. */
  define(scope: Scope, e: Expr, local: number): void {
    const { f } = this;
    const lanes = this.plan.lanes;
    if (local >= 0) scope.maps[0].set(e, local);
    if (lanes === 1) return;
    for (let s: Scope | null = scope; s !== null; s = s.parent) if (s.splats.has(e)) return;
    const vector = f.local("v128");
    if (local >= 0) {
      f.get(local);
      splat(f, e.type, lanes);
    } else pushConstant(f, e.value, e.type, lanes);
    f.set(vector);
    scope.splats.set(e, vector);
  }

  copyPointers(slots: readonly number[], scope: Scope): Map<number, number> {
    const out = new Map<number, number>();
    for (const s of slots) {
      const p = this.f.local("i32");
      this.f.get(this.cursor(s, scope).pointer).set(p);
      out.set(s, p);
    }
    return out;
  }
}
