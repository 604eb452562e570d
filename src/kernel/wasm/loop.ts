/**
 * Renders a LoopKernel to WebAssembly: the loops over axes and blocks, and the passes over the inner axes. Units are walked in
 * `units.ts`; what is evaluated in them is `values.ts`'s, accumulators are `sums.ts`'s, the analysis before it `plan.ts`'s.
 *
 * A loop along the vector axis is written up to three times: several vectors an iteration, one vector, one element.
 */
import { bytesOf, type Expr, type LoopKernel, type ValueType } from "../ir.js";
import { type FunctionBuilder, ModuleBuilder } from "./encoder.js";
import { type Features, supported } from "./features.js";
import { loadScalar, storeElements, storeScalar } from "./memory.js";
import { emitFold, readArgument } from "./ops.js";
import { type Pass, Plan, single, type Variant } from "./plan.js";
import { type Accumulators, accumulators, CHUNK, Sums } from "./sums.js";
import { ARGS, BEGIN, END, type Part, type Pointers, Units } from "./units.js";
import { type Registers, type Scope, Values } from "./values.js";

/** A module whose `run(args, begin, end, scratch)` runs the units from begin to end; `args` points to the argument block. */
export function renderLoop(kernel: LoopKernel, features: Features): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder(features.shared);
  const f = module.function(["i32", "i32", "i32", "i32"]);
  new LoopRenderer({ ...kernel, stores: supported(kernel.stores, features) }, f).render();
  return module.encode(f);
}

class LoopRenderer {
  private readonly plan: Plan;
  private readonly at: Registers;
  private readonly values: Values;

  constructor(
    private readonly kernel: LoopKernel,
    private readonly f: FunctionBuilder,
  ) {
    this.plan = new Plan(kernel);
    this.at = this.prologue();
    this.values = new Values(f, kernel, this.plan, this.at);
  }

  render(): void {
    const { f, kernel, plan, values } = this;
    const passes = [...plan.passes, plan.row];
    const launch = values.uniform(null, 0, new Map());
    values.hoist(
      passes.flatMap((p) => p.roots),
      launch,
    );
    const slots = [...new Set(passes.flatMap((p) => p.slots))];
    const pointers = new Map(slots.map((s) => [s, f.local("i32")]));
    const unit = values.uniform(launch, 1, pointers);
    const row = (part?: Part): void => (kernel.vector === "inner" ? this.innerRow(unit) : this.outerRow(unit, part));
    const axes = kernel.vector === "inner" ? kernel.outer : kernel.outer - 1;
    f.get(BEGIN).get(END).op("i32.lt_s");
    f.if(() => {
      if (axes > 0 && plan.tiled) new Units(f, this.at, axes, pointers).tiles(plan.axis, row);
      else if (axes > 0) new Units(f, this.at, axes, pointers).each(row);
      else {
        for (const [s, p] of pointers) f.get(this.at.base[s]).set(p);
        row();
      }
    });
  }

  /** Reads the argument block into locals. */
  private prologue(): Registers {
    const { f, kernel, plan } = this;
    const { operands } = kernel;
    const axes = Array.from({ length: kernel.outer + kernel.inner }, (_, a) => a);
    let slot = 0;
    const read = (type: ValueType | "address"): number => readArgument(f, ARGS, slot++, type);
    const base = operands.map(() => read("address"));
    const size = axes.map(() => read("i32"));
    const used = new Set([...plan.passes, plan.row].flatMap((p) => p.slots));
    const stride = operands.map(({ type, step }, o) =>
      axes.map((a) => {
        if (!used.has(o) || (a === plan.axis && step !== "strided")) {
          slot++;
          return -1;
        }
        const local = read("i32");
        f.get(local).i32(bytesOf[type]).op("i32.mul").set(local);
        return local;
      }),
    );
    return { base, size, stride, scalars: kernel.scalars.map(read), counters: axes.map(() => f.local("i32")) };
  }

  // ── vector "inner": one row at a time ──

  private innerRow(unit: Scope): void {
    const { f, kernel, plan, values } = this;
    const { copies, lanes } = kernel.inner === 0 ? single : plan.variants[0];
    for (const pass of plan.passes) {
      values.hoist(pass.roots, unit);
      values.scanning = accumulators(f, pass.scans, 1, 1);
      const sums = new Sums(f, pass.reduces, copies, lanes, true, kernel.inner > 0);
      if (kernel.inner > 0) this.innerNest(pass, unit, 0, sums);
      else this.body(pass, values.varying(unit, plan.depth, single, unit.pointers), sums.partial);
      for (const r of pass.reduces) {
        values.define(unit, r, sums.results(r)[0]);
        const row = plan.kept.get(r.args[0]);
        if (row !== undefined) values.readBack.set(r.args[0], row);
      }
    }
    this.body(plan.row, values.varying(unit, plan.depth, single, unit.pointers), new Map());
  }

  private innerNest(pass: Pass, scope: Scope, j: number, sums: Sums): void {
    const { f, kernel, plan, values } = this;
    const axis = kernel.outer + j;
    if (j < kernel.inner - 1) {
      this.along(axis, pass, scope, (pointers) => {
        const inside = values.uniform(scope, scope.level + 1, pointers);
        values.hoist(pass.roots, inside);
        this.innerNest(pass, inside, j + 1, sums);
      });
      return;
    }
    const i = this.at.counters[axis];
    f.i32(0).set(i);
    const pointers = values.copyPointers(pass.slots, scope);
    const blocks = plan.blocks(pass);
    if (blocks !== null) this.inBlocks(blocks, pass, scope, pointers, sums);
    plan.variants.forEach((variant, n) => {
      const inside = values.varying(scope, plan.depth, variant, pointers);
      const into = variant.lanes === plan.lanes ? sums.partial : sums.tail;
      const step = variant.copies * variant.lanes;
      const limit = step === 1 ? this.at.size[axis] : f.local("i32");
      if (step > 1) f.get(this.at.size[axis]).i32(-step).op("i32.and").set(limit);
      this.upTo(i, limit, n === 0 && sums.cascaded ? CHUNK * step : 0, sums, () => {
        this.body(pass, inside, into);
        this.advance(step, pointers);
      });
    });
    sums.flush();
  }

  /** Folds blocks of a row, all copies at once, while there are that many. */
  private inBlocks(variant: Variant, pass: Pass, scope: Scope, pointers: Pointers, sums: Sums): void {
    const { f, plan, values } = this;
    const { copies, lanes, apart } = variant;
    const i = this.at.counters[plan.axis];
    const stop = f.local("i32");
    f.repeat(
      () =>
        f
          .get(i)
          .i32(copies * apart)
          .op("i32.add")
          .get(this.at.size[plan.axis])
          .op("i32.le_s"),
      () => {
        f.get(i).i32(apart).op("i32.add").set(stop);
        const inside = values.varying(scope, plan.depth, variant, pointers);
        this.upTo(i, stop, sums.cascaded ? CHUNK * lanes : 0, sums, () => {
          this.body(pass, inside, sums.partial);
          this.advance(lanes, pointers);
        });
        this.advance((copies - 1) * apart, pointers);
      },
    );
  }

  // ── vector "outer": a block of the last outer axis at a time ──

  private outerRow(unit: Scope, part?: Part): void {
    const { f, kernel, plan, values } = this;
    values.hoist(
      plan.passes.flatMap((p) => p.roots),
      unit,
    );
    if (kernel.outer === 0) {
      this.block(unit, single, unit.pointers);
      return;
    }
    const i = this.at.counters[plan.axis];
    const pointers = values.copyPointers([...unit.pointers.keys()], unit);
    const end = f.local("i32");
    const range = part ?? (kernel.outer === 1 ? { from: BEGIN, end: END } : null);
    if (range !== null) {
      f.get(range.from).set(i).get(range.end).set(end);
      for (const [s, p] of pointers) {
        const { type, step } = kernel.operands[s];
        if (step === "uniform") continue;
        f.get(p).get(i);
        if (step === "unit") f.i32(bytesOf[type]);
        else f.get(this.at.stride[s][plan.axis]);
        f.op("i32.mul").op("i32.add").set(p);
      }
    } else f.i32(0).set(i).get(this.at.size[plan.axis]).set(end);
    for (const variant of plan.variants) {
      f.repeat(
        () =>
          f
            .get(i)
            .i32(variant.copies * variant.lanes)
            .op("i32.add")
            .get(end)
            .op("i32.le_s"),
        () => {
          this.block(unit, variant, pointers);
          this.advance(variant.copies * variant.lanes, pointers);
        },
      );
    }
  }

  private block(unit: Scope, variant: Variant, pointers: Pointers): void {
    const { f, kernel, plan, values } = this;
    const scope = values.varying(unit, 2, variant, pointers);
    for (const pass of plan.passes) {
      values.scanning = accumulators(f, pass.scans, variant.copies, variant.lanes);
      const sums = new Sums(f, pass.reduces, variant.copies, variant.lanes, false, kernel.inner > 0);
      if (kernel.inner > 0) values.hoist(pass.roots, scope);
      this.outerNest(pass, scope, 0, variant, sums);
      for (const r of pass.reduces) sums.results(r).forEach((local, c) => scope.maps[c].set(r, local));
    }
    this.body(plan.row, values.varying(scope, plan.depth, variant, pointers), new Map());
  }

  private outerNest(pass: Pass, scope: Scope, j: number, variant: Variant, sums: Sums): void {
    const { f, kernel, values } = this;
    if (j === kernel.inner) {
      this.body(pass, scope, sums.partial);
      return;
    }
    const innermost = j === kernel.inner - 1;
    const axis = kernel.outer + j;
    const inside = (pointers: Pointers): void => {
      const next = values.varying(scope, scope.level + 1, variant, pointers);
      if (!innermost) values.hoist(pass.roots, next);
      this.outerNest(pass, next, j + 1, variant, sums);
    };
    if (!innermost || !sums.cascaded) {
      this.along(axis, pass, scope, inside);
      return;
    }
    const i = this.at.counters[axis];
    f.i32(0).set(i);
    const pointers = values.copyPointers(pass.slots, scope);
    this.upTo(i, this.at.size[axis], CHUNK, sums, () => {
      inside(pointers);
      this.next(axis, pointers);
    });
  }

  // ── loops ──

  /** A loop over an axis that does not carry the vectors. */
  private along(axis: number, pass: Pass, scope: Scope, body: (pointers: Pointers) => void): void {
    const { f } = this;
    const i = this.at.counters[axis];
    const pointers = this.values.copyPointers(pass.slots, scope);
    f.i32(0).set(i);
    f.repeat(
      () => f.get(i).get(this.at.size[axis]).op("i32.lt_s"),
      () => {
        body(pointers);
        this.next(axis, pointers);
      },
    );
  }

  /** Moves one index along such an axis. */
  private next(axis: number, pointers: Pointers): void {
    const { f } = this;
    const i = this.at.counters[axis];
    for (const [s, p] of pointers) f.get(p).get(this.at.stride[s][axis]).op("i32.add").set(p);
    f.get(i).i32(1).op("i32.add").set(i);
  }

  /** Moves `n` elements along the vector axis. */
  private advance(n: number, pointers: Pointers): void {
    const { f, kernel, plan } = this;
    const i = this.at.counters[plan.axis];
    for (const [s, p] of pointers) {
      const { type, step } = kernel.operands[s];
      if (step === "uniform") continue;
      f.get(p);
      if (step === "unit") f.i32(n * bytesOf[type]);
      else {
        f.get(this.at.stride[s][plan.axis]);
        if (n > 1) f.i32(n).op("i32.mul");
      }
      f.op("i32.add").set(p);
    }
    f.get(i).i32(n).op("i32.add").set(i);
  }

  /** Runs `body`, which moves `i`, while i < limit; flushes the sums whenever `chunk` indices are done (0: never). */
  private upTo(i: number, limit: number, chunk: number, sums: Sums, body: () => void): void {
    const { f } = this;
    if (chunk === 0) {
      f.repeat(() => f.get(i).get(limit).op("i32.lt_s"), body);
      return;
    }
    const stop = f.local("i32");
    f.repeat(
      () => f.get(i).get(limit).op("i32.lt_s"),
      () => {
        f.get(i).i32(chunk).op("i32.add").tee(stop).get(limit).get(stop).get(limit);
        f.op("i32.lt_s").op("select").set(stop);
        f.repeat(() => f.get(i).get(stop).op("i32.lt_s"), body);
        sums.flush();
      },
    );
  }

  /** Stores what a later pass needs again where that pass will find it. */
  private keep(e: Expr, scope: Scope, copy: number): void {
    const { f, plan, values } = this;
    const row = plan.kept.get(e);
    if (row === undefined || values.readBack.has(e)) return;
    values.keep(e, scope, copy);
    const value = (): void => values.push(e, scope, copy);
    storeElements(f, values.cursor(row, scope), e.type, scope.lanes, copy * scope.apart, value);
  }

  /** What a pass does for one element (or block of them). */
  private body(pass: Pass, scope: Scope, into: Accumulators): void {
    const { f, kernel, values } = this;
    const lanes = scope.lanes;
    scope.maps.forEach((_, c) => {
      for (const r of pass.reduces) {
        const acc = (into.get(r) ?? [])[c];
        this.keep(r.args[0], scope, c);
        f.get(acc);
        values.push(r.args[0], scope, c);
        emitFold(f, r.fold ?? "sum", r.type, lanes);
        f.set(acc);
      }
      // with several stores, everything is read before anything is written
      if (pass.stores.length > 1) for (const root of pass.roots) values.keep(root, scope, c);
      for (const s of pass.stores) {
        const { type } = kernel.operands[s.operand];
        const value = (): void => values.push(s.value, scope, c);
        if (s.at === null) {
          storeElements(f, values.cursor(s.operand, scope), s.value.type, lanes, c * scope.apart, value);
          continue;
        }
        const address = f.local("i32");
        f.get(this.at.base[s.operand]);
        values.push(s.at, scope, c);
        f.i32(bytesOf[type]).op("i32.mul").op("i32.add").tee(address);
        if (s.accumulate) {
          f.get(address);
          loadScalar(f, type);
        }
        value();
        if (s.accumulate) emitFold(f, "sum", s.value.type, 1);
        storeScalar(f, type);
      }
    });
  }
}
