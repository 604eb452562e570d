/**
 * Writes down what a model does: which operations ran, on which values. Functions of `nn.functional` and `torch` report
 * themselves (`ops/trace.ts`); methods of tensors are stood in front of while the trace lasts. Nothing of this knows ONNX.
 *
 * What went past both is found by its history: a tensor that depends on an input and was made by no operation that was seen
 * is named when it is used. What even that misses, the exporter's check of outputs finds.
 */
import { edgeOf, type Node as TapeNode } from "../../autograd/tape.js";
import type { Buffer } from "../../device/engine.js";
import { ValueError } from "../../errors.js";
import { withTracer } from "../../ops/trace.js";
import { type DType, enableGrad, type Shape, Tensor } from "../../tensor/index.js";

/** A tensor as it was at one moment of the trace: an in-place change makes another value of it. */
export class Value {
  /** The operation that gave it; null for inputs and for what the model brought along. */
  operation: Operation | null = null;
  input = false;
  /** Another input would give another value. */
  dependent = false;
  /** For what was brought along though it depends on an input: the operation that was not seen. */
  unseen: string | null = null;
  readonly shape: Shape;
  readonly dtype: DType;

  constructor(readonly tensor: Tensor) {
    this.shape = tensor.shape;
    this.dtype = tensor.dtype;
  }
}

/** An operation that ran. Tensors among its arguments, also in arrays, are values. */
export interface Operation {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly outputs: readonly Value[];
}

export interface Trace {
  readonly operations: readonly Operation[];
  readonly inputs: readonly Value[];
  /** The result's tensors with their places in it: "" for a single one, else the position or key. */
  readonly outputs: readonly (readonly [place: string, value: Value])[];
}

/** Methods that give JavaScript a value to decide by. */
const readers = new Set(["item", "tolist", "toTypedArray", "get", "equal", "allclose"]);

/**
 * Whether the library itself is reading, as it does to check indices. In a bundle the places of files are lost; there the
 * exporter's check of outputs is all there is.
 */
function readInside(): boolean {
  const [, own, caller] = (new Error().stack ?? "").split("\n").filter((line) => /^\s*at |@/.test(line));
  return !/onnx\/trace\.[jt]s/.test(own ?? "") || /\/(src|dist)\/(ops|nn|tensor)\//.test(caller ?? "");
}

/** Runs `forward` on the inputs and writes down its operations. */
export function trace(forward: (...inputs: Tensor[]) => unknown, examples: readonly Tensor[]): Trace {
  const known = new Map<Tensor, Value>();
  const buffers = new Set<Buffer>();
  const operations: Operation[] = [];

  const inputs = examples.map((example) => {
    const input = example.detach().clone();
    if (input.isFloatingPoint()) input.requiresGrad = true;
    return input;
  });
  const leaves = new Set<TapeNode | undefined>(inputs.map((input) => edgeOf(input)?.node));

  /** The operation through which a tensor depends on an input, if it does. */
  const dependence = (tensor: Tensor): string | null => {
    if (buffers.has(tensor.buffer)) return tensor.gradFn?.name ?? "view";
    const first = tensor.gradFn;
    const stack = first === null ? [] : [first];
    const visited = new Set(stack);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (leaves.has(node)) return (first as TapeNode).name;
      for (const edge of node.edges) {
        if (edge === null || visited.has(edge.node)) continue;
        visited.add(edge.node);
        stack.push(edge.node);
      }
    }
    return null;
  };

  const valueFor = (tensor: Tensor): Value => {
    let value = known.get(tensor);
    if (value === undefined) {
      value = new Value(tensor);
      value.unseen = dependence(tensor);
      value.dependent = value.unseen !== null;
      known.set(tensor, value);
    }
    return value;
  };

  const define = (tensor: Tensor, from: Partial<Value>): Value => {
    const value = Object.assign(new Value(tensor), from);
    known.set(tensor, value);
    if (value.dependent) buffers.add(tensor.buffer);
    return value;
  };

  const hold = (args: readonly unknown[]): readonly unknown[] =>
    args.map((arg) => {
      if (arg instanceof Tensor) return valueFor(arg);
      return Array.isArray(arg) ? arg.map((item) => (item instanceof Tensor ? valueFor(item) : item)) : arg;
    });

  const note = (name: string, held: readonly unknown[], result: unknown): void => {
    const results = tensorsIn(result).map(([, tensor]) => tensor);
    if (results.length === 0) return;
    const dependent = held.flat().some((arg) => arg instanceof Value && arg.dependent);
    const outputs: Value[] = [];
    const operation: Operation = { name, args: held, outputs };
    for (const tensor of results) outputs.push(define(tensor, { operation, dependent }));
    operations.push(operation);
  };

  const inputValues = inputs.map((input) => define(input, { input: true, dependent: true }));
  const restore = standInFront(hold, note, (tensor) => known.get(tensor)?.dependent === true);
  try {
    const result = withTracer(
      (name, args, result) => note(name, hold(args), result),
      () => enableGrad(() => forward(...inputs)),
    );
    const outputs = tensorsIn(result).map(([place, tensor]) => [place, valueFor(tensor)] as const);
    if (outputs.length === 0) throw new ValueError("exportOnnx: forward gives no tensor, array or object of tensors");
    return { operations, inputs: inputValues, outputs };
  } finally {
    restore();
  }
}

/** Puts a note behind every method and getter of tensors. Gives the function that takes them away. */
function standInFront(
  hold: (args: readonly unknown[]) => readonly unknown[],
  note: (name: string, held: readonly unknown[], result: unknown) => void,
  depends: (tensor: Tensor) => boolean,
): () => void {
  const before: [object, string, PropertyDescriptor][] = [];
  for (let proto = Tensor.prototype as object; proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(proto))) {
      const { value, get } = descriptor;
      if (typeof value === "function" && name !== "constructor") {
        const noted = function (this: Tensor, ...args: unknown[]): unknown {
          if (readers.has(name) && depends(this) && !readInside()) {
            throw new ValueError(
              `exportOnnx: forward reads a value that depends on its input (${name}); a file has no place for what JavaScript does with it`,
            );
          }
          // Before it runs: a change in place makes another value of its tensor.
          const held = hold([this, ...args]);
          const result: unknown = value.apply(this, args);
          note(name, held, result);
          return result;
        };
        before.push([proto, name, descriptor]);
        Object.defineProperty(proto, name, { ...descriptor, value: noted });
      } else if (get !== undefined && (name === "T" || name === "mT")) {
        const noted = function (this: Tensor): unknown {
          const held = hold([this]);
          const result: unknown = get.call(this);
          note(name, held, result);
          return result;
        };
        before.push([proto, name, descriptor]);
        Object.defineProperty(proto, name, { ...descriptor, get: noted });
      }
    }
  }
  return () => {
    for (const [proto, name, descriptor] of before) Object.defineProperty(proto, name, descriptor);
  };
}

/** The tensors of a result: itself, or those of an array or a plain object. */
export function tensorsIn(result: unknown): [place: string, tensor: Tensor][] {
  if (result instanceof Tensor) return [["", result]];
  if (typeof result !== "object" || result === null) return [];
  const prototype: unknown = Object.getPrototypeOf(result);
  if (!Array.isArray(result) && prototype !== Object.prototype && prototype !== null) return [];
  return Object.entries(result).flatMap(([key, item]) => (item instanceof Tensor ? [[key, item]] : []));
}
