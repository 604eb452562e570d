/**
 * From tensors to launches: makes results, lays an operation's index space over its operands (broadcasting, dropping and
 * merging axes), finds or compiles the kernel for that layout, and runs it. Every operation goes through here.
 */
import { allocated, inRegion } from "../autograd/region.js";
import type { Device } from "../device/device.js";
import { Buffer, type Engine, type Executable } from "../device/engine.js";
import { DeviceError, DTypeError } from "../errors.js";
import { expand } from "../kernel/expand.js";
import * as k from "../kernel/expr.js";
import { expandLoads, toBfloat16, toFloat16 } from "../kernel/half.js";
import { type Expr, type LoopKernel, type Step, type Store, type ValueType, valueTypeOf } from "../kernel/ir.js";
import type { Tensor } from "../tensor/tensor.js";
import { capturing } from "./capture.js";
import { codeOf, type DType, dtypes, itemBytes } from "./dtype.js";
import { launch } from "./launch.js";
import { broadcastStrides, contiguousStrides, numelOf, type Shape } from "./shape.js";

type Construct = (
  buffer: Buffer,
  device: Device,
  dtype: DType,
  shape: Shape,
  strides: Shape,
  offset: number,
  contiguous: boolean,
) => Tensor;

/** The Tensor class stands above this layer and hands its constructor down. */
let construct: Construct;
export function setConstruct(c: Construct): void {
  construct = c;
}
export const wrap: Construct = (buffer, device, dtype, shape, strides, offset, contiguous) =>
  construct(buffer, device, dtype, shape, strides, offset, contiguous);

/** A fresh tensor with undefined contents. */
export function emptyTensor(shape: Shape, dtype: DType, device: Device): Tensor {
  const bytes = dtype === "float32" ? 4 : itemBytes[dtype];
  if (bytes === undefined)
    throw new DTypeError(`'${String(dtype)}' is not a dtype; expected one of ${dtypes.join(", ")}`);
  const buffer = freshBuffer(numelOf(shape) * bytes, device);
  capturing()?.allocated(buffer);
  return construct(buffer, device, dtype, shape, contiguousStrides(shape), 0, true);
}

/** Memory with undefined contents, which the region it is made in may take back. */
export function freshBuffer(bytes: number, device: Device): Buffer {
  const buffer = device.engine.alloc(bytes, inRegion());
  allocated(buffer);
  buffer.engine = device.engine;
  return buffer;
}

/** The device of an operation: that of its tensors, which must agree. */
export function deviceOf(op: string, tensors: readonly (Tensor | number)[]): Device {
  let found: Device | null = null;
  for (let i = 0; i < tensors.length; i++) {
    const t = tensors[i];
    if (typeof t !== "object") continue;
    if (found === null) found = t.device;
    else if (found !== t.device) {
      throw new DeviceError(
        `${op}: tensors on two devices, ${found} (${found.engine.name}) and ${t.device} (${t.device.engine.name})`,
      );
    }
  }
  if (found === null) throw new DeviceError(`${op}: no tensor among the operands`);
  return found;
}

/** What an operation computes, before dtypes and layout are known. */
export interface LoopBody {
  readonly name: string;
  /**
   * The stores, one for each output, given how to load operand `i` (in its own value type) and scalar `i`. Element stores
   * of an operation without inner axes are `per: "element"`.
   */
  build(load: (i: number) => Expr, scalar: (i: number) => Expr): readonly BodyStore[];
}
export interface BodyStore {
  readonly value: Expr;
  readonly per: "row" | "element";
  readonly at?: Expr;
  readonly accumulate?: boolean;
}

interface Plan {
  readonly outer: readonly number[];
  readonly inner: readonly number[];
  /** Per operand: strides over outer then inner axes. */
  readonly strides: readonly (readonly number[])[];
}

/** The kernels over two axes, and a number for each in the keys of their layouts. */
const planes = {
  rows: { code: 1, outer: 1, inner: 1, vector: "inner" },
  columns: { code: 2, outer: 1, inner: 1, vector: "outer" },
  map: { code: 3, outer: 2, inner: 0, vector: "outer" },
} as const;

/** A family of kernels: one operation, compiled anew for each combination of dtypes, layout and engine. */
export class LoopFamily {
  private readonly caches = new Map<Engine, Map<number | string, Executable>>();
  private engine: Engine | null = null;
  private cache: Map<number | string, Executable> = new Map();
  /** The kernel of the last launch: loops launch the same ones again and again. */
  private lastKey: number | string = "";
  private last: Executable | null = null;

  /** `usesIndex`: the expression asks for `index`, so axes may not be merged. */
  constructor(
    private readonly body: LoopBody,
    private readonly scalarTypes: readonly ValueType[],
    private readonly usesIndex = false,
  ) {}

  /**
   * A map over tensors that are all contiguous and of one shape, or of one element (`uniform`): the common case, kept short.
   * `operands` are the inputs, then the outputs.
   */
  runFlat(operands: readonly Tensor[], inputs: number, n: number, scalars: readonly number[]): void {
    const count = operands.length;
    let key = 0;
    let p = 1;
    params[0] = n;
    for (let i = 0; i < count; i++) {
      const t = operands[i] as Tensor;
      const unit = i >= inputs || n === 1 || t.numel() !== 1 ? 1 : 0;
      key = key * 20 + codeOf(t.dtype) * 2 + unit;
      params[p++] = unit;
    }
    for (let i = 0; i < scalars.length; i++) params[p++] = scalars[i] as number;
    let executable = this.known((operands[0] as Tensor).device.engine, key);
    if (executable === null) {
      const steps = operands.map((t, i): Step => (i >= inputs || n === 1 || t.numel() !== 1 ? "unit" : "uniform"));
      executable = this.compile(operands, inputs, steps, 1, 0, "outer", key);
    }
    this.launch(executable, operands, p, n, n);
  }

  /**
   * Two axes, with each operand's strides along them given, of which those along the vector axis are 0 or 1: no search for a
   * layout. `rows` fold the second axis, `columns` too but side by side, a `map` folds nothing.
   */
  runPlane(
    mode: keyof typeof planes,
    operands: readonly Tensor[],
    inputs: number,
    first: number,
    second: number,
    firstStrides: readonly number[],
    secondStrides: readonly number[],
    scalars: readonly number[],
  ): void {
    const { code, outer, inner, vector } = planes[mode];
    const along = mode === "columns" ? firstStrides : secondStrides;
    let key: number = code;
    let p = 2;
    params[0] = first;
    params[1] = second;
    for (let i = 0; i < operands.length; i++) {
      key = key * 20 + codeOf((operands[i] as Tensor).dtype) * 2 + (along[i] as number);
      params[p++] = firstStrides[i] as number;
      params[p++] = secondStrides[i] as number;
    }
    key = -key;
    for (let i = 0; i < scalars.length; i++) params[p++] = scalars[i] as number;
    let executable = this.known((operands[0] as Tensor).device.engine, key);
    if (executable === null) {
      const steps = operands.map((_, i): Step => (along[i] === 0 ? "uniform" : "unit"));
      executable = this.compile(operands, inputs, steps, outer, inner, vector, key);
    }
    this.launch(executable, operands, p, first, first * second);
  }

  /**
   * Any layout. `views` gives each operand's strides over all axes of the index space (`outer` sizes, then `inner`).
   */
  run(
    operands: readonly Tensor[],
    inputs: number,
    outer: Shape,
    inner: Shape,
    views: readonly Shape[],
    scalars: readonly number[],
  ): void {
    const plan = this.usesIndex ? { outer, inner, strides: views } : simplify(outer, inner, views);
    const O = plan.outer.length;
    const I = plan.inner.length;
    const unitsOuter = numelOf(plan.outer);
    if (unitsOuter === 0) return;
    const down = I === 0 || prefersOuter(plan, inputs, operands.length);
    const vector = down ? "outer" : "inner";
    const axis = down ? O - 1 : O + I - 1;
    const outerSizes = O === 0 && down ? [1] : plan.outer;
    let key = `${outerSizes.length},${I},${vector}`;
    const steps: Step[] = [];
    let p = 0;
    for (const n of outerSizes) params[p++] = n;
    for (const n of plan.inner) params[p++] = n;
    for (let i = 0; i < operands.length; i++) {
      const strides = plan.strides[i] as readonly number[];
      const s = axis < 0 ? 0 : (strides[axis] as number);
      const step: Step = s === 0 ? "uniform" : s === 1 ? "unit" : "strided";
      steps.push(step);
      key += `|${codeOf((operands[i] as Tensor).dtype)}${step[3]}`;
      if (O === 0 && outerSizes.length === 1) params[p++] = 0;
      for (let a = 0; a < strides.length; a++) params[p++] = strides[a] as number;
    }
    for (const s of scalars) params[p++] = s;
    const executable =
      this.known((operands[0] as Tensor).device.engine, key) ??
      this.compile(operands, inputs, steps, outerSizes.length, I, vector, key);
    const units = !down || O <= 1 ? unitsOuter : numelOf(plan.outer.slice(0, -1));
    this.launch(executable, operands, p, units, unitsOuter * Math.max(1, numelOf(plan.inner)));
  }

  /** The kernel for a key, if it is compiled; the engine is the family's from here on. */
  private known(engine: Engine, key: number | string): Executable | null {
    if (engine !== this.engine) {
      this.cache = this.caches.get(engine) ?? new Map();
      this.caches.set(engine, this.cache);
      this.engine = engine;
      this.last = null;
    }
    if (key === this.lastKey && this.last !== null) return this.last;
    this.lastKey = key;
    this.last = this.cache.get(key) ?? null;
    return this.last;
  }

  private launch(
    executable: Executable,
    operands: readonly Tensor[],
    count: number,
    units: number,
    work: number,
  ): void {
    const n = operands.length;
    const { buffers, offsets } = scratch(n);
    for (let i = 0; i < n; i++) {
      const t = operands[i] as Tensor;
      buffers[i] = t.buffer;
      offsets[i] = t.offset;
    }
    launch(this.engine as Engine, executable, buffers, offsets, params, count, units, work);
    // Scratch must not keep the last operands alive.
    for (let i = 0; i < n; i++) buffers[i] = nobody;
  }

  private compile(
    operands: readonly Tensor[],
    inputs: number,
    steps: readonly Step[],
    outer: number,
    inner: number,
    vector: "inner" | "outer",
    key: number | string,
  ): Executable {
    const engine = this.engine as Engine;
    const executable = engine.compile(
      this.kernel(
        operands.map((t) => t.dtype),
        inputs,
        steps,
        outer,
        inner,
        vector,
      ),
    );
    this.cache.set(key, executable);
    this.last = executable;
    return executable;
  }

  private kernel(
    types: readonly DType[],
    inputs: number,
    steps: readonly Step[],
    outer: number,
    inner: number,
    vector: "inner" | "outer",
  ): LoopKernel {
    const load = (i: number): Expr => k.load(i, valueTypeOf[types[i] as DType]);
    const scalar = (i: number): Expr => k.scalar(i, this.scalarTypes[i] as ValueType);
    const stores = this.body.build(load, scalar).map((s, j): Store => {
      const operand = inputs + j;
      const target = types[operand] as DType;
      const value = k.cast(s.value, valueTypeOf[target]);
      const stored = target === "float16" ? toFloat16(value) : target === "bfloat16" ? toBfloat16(value) : value;
      return {
        operand,
        value: expand(expandLoads(stored, types)),
        per: s.per === "row" && inner > 0 ? "row" : "element",
        at: s.at === undefined ? null : expand(expandLoads(s.at, types)),
        accumulate: s.accumulate ?? false,
      };
    });
    const operands = types.map((type, i) => ({ type, step: steps[i] as Step }));
    return { kind: "loop", name: this.body.name, operands, scalars: this.scalarTypes, stores, outer, inner, vector };
  }
}

class Nobody extends Buffer {}
const nobody = new Nobody(0);
/** Lists for the operands of a launch, one pair a length, so that launches allocate none. */
const lists: { buffers: Buffer[]; offsets: number[] }[] = [];
function scratch(n: number): { buffers: Buffer[]; offsets: number[] } {
  while (lists.length <= n) {
    lists.push({
      buffers: new Array<Buffer>(lists.length).fill(nobody),
      offsets: new Array<number>(lists.length).fill(0),
    });
  }
  return lists[n] as { buffers: Buffer[]; offsets: number[] };
}
const params = new Float64Array(2048);

/** Merges axes that every operand walks as one, and drops axes of size 1. */
function simplify(outer: Shape, inner: Shape, views: readonly Shape[]): Plan {
  const strides: number[][] = views.map(() => []);
  const merge = (sizes: Shape, base: number): number[] => {
    const out: number[] = [];
    const start = (strides[0] as number[]).length;
    for (let a = 0; a < sizes.length; a++) {
      const n = sizes[a] as number;
      if (n === 1) continue;
      const top = out.length - 1;
      const joins =
        top >= 0 && views.every((v, i) => (strides[i] as number[])[start + top] === n * (v[base + a] as number));
      if (joins) {
        out[top] = (out[top] as number) * n;
        views.forEach((v, i) => {
          (strides[i] as number[])[start + top] = v[base + a] as number;
        });
      } else {
        out.push(n);
        views.forEach((v, i) => {
          (strides[i] as number[]).push(v[base + a] as number);
        });
      }
    }
    return out;
  };
  const o = merge(outer, 0);
  let i = merge(inner, outer.length);
  if (inner.length > 0 && i.length === 0) {
    // A fold over one element is a fold all the same.
    i = [1];
    for (const s of strides) s.push(0);
  }
  return { outer: o, inner: i, strides };
}

/** Folding down columns pays when the operands are contiguous along the last outer axis and not along the inner one. */
function prefersOuter(plan: Plan, inputs: number, operands: number): boolean {
  const O = plan.outer.length;
  const I = plan.inner.length;
  if (I === 0) return true;
  if (O === 0 || (plan.outer[O - 1] as number) < 8) return false;
  let down = 0;
  let along = 0;
  for (let i = 0; i < inputs && i < operands; i++) {
    const s = plan.strides[i] as readonly number[];
    const outer = s[O - 1] as number;
    const inner = s[O + I - 1] as number;
    if (inner === 1) along += outer === 0 ? 0.5 : 1;
    else if (outer === 1) down += inner === 0 ? 0.5 : 1;
  }
  return down > along;
}

/** The strides of `t` seen at `shape`. */
export const viewAt = (t: Tensor, shape: Shape): number[] => broadcastStrides(t.shape, t.strides, shape);
