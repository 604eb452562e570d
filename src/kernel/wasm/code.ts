/**
 * i32 arithmetic and loops over a function that is being written, so that addresses are written as expressions. Floats and
 * vectors are left to whoever uses it.
 */
import type { FunctionBuilder } from "./encoder.js";

/** A value on the way to the stack: a local, or code that pushes it. */
export type Value = number | (() => void);

export class Code {
  constructor(readonly f: FunctionBuilder) {}
  push(v: Value): FunctionBuilder {
    if (typeof v === "number") this.f.get(v);
    else v();
    return this.f;
  }
  c(n: number): Value {
    return () => this.f.i32(n);
  }
  private two(op: string, a: Value, b: Value): Value {
    return () => {
      this.push(a);
      this.push(b);
      this.f.op(`i32.${op}`);
    };
  }
  add = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("add", a, b));
  sub = (a: Value, b: Value): Value => this.two("sub", a, b);
  mul = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("mul", a, b));
  div = (a: Value, b: Value): Value => this.two("div_s", a, b);
  rem = (a: Value, b: Value): Value => this.two("rem_s", a, b);
  lt = (a: Value, b: Value): Value => this.two("lt_s", a, b);
  le = (a: Value, b: Value): Value => this.two("le_s", a, b);
  eq = (a: Value, b: Value): Value => this.two("eq", a, b);
  and = (...list: readonly Value[]): Value => list.reduce((a, b) => this.two("and", a, b));
  or = (a: Value, b: Value): Value => this.two("or", a, b);
  /** ⌈a / b⌉ of positive numbers. */
  up = (a: Value, b: Value): Value => this.div(this.sub(this.add(a, b), this.c(1)), b);
  select(condition: Value, yes: Value, no: Value): Value {
    return () => {
      this.push(yes);
      this.push(no);
      this.push(condition).op("select");
    };
  }
  min = (a: Value, b: Value): Value => this.select(this.lt(a, b), a, b);
  max = (a: Value, b: Value): Value => this.select(this.lt(a, b), b, a);
  int(at: Value, offset = 0): Value {
    return () => this.push(at).memory("i32.load", offset);
  }
  set(local: number, v: Value): void {
    this.push(v).set(local);
  }
  /** A local that holds `v`. */
  let(v: Value): number {
    const local = this.f.local("i32");
    this.set(local, v);
    return local;
  }
  /** for (i = from; i < to; i += step) */
  loop(from: Value, to: Value, step: Value, body: (i: number) => void): void {
    const i = this.let(from);
    const end = this.let(to);
    this.f.repeat(
      () => this.push(this.lt(i, end)),
      () => {
        body(i);
        this.set(i, this.add(i, step));
      },
    );
  }
  count(n: Value, body: (i: number) => void): void {
    this.loop(this.c(0), n, this.c(1), body);
  }
  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.push(condition).if(then, otherwise);
  }
}

/** Calls the function for as many rows as `rows` says. */
export function dispatch(k: Code, rows: number, functions: readonly FunctionBuilder[], args: () => void): void {
  functions.forEach((g, i) =>
    k.if(k.eq(rows, k.c(i + 1)), () => {
      args();
      k.f.call(g);
    }),
  );
}
