/**
 * Where operations that are functions meet whoever writes down what a model does (the ONNX exporter): it is told the name, the
 * arguments as they were given and the result. Methods of tensors it finds by itself; with nobody there nothing happens.
 */
export type Tracer = (name: string, args: readonly unknown[], result: unknown) => void;

let tracer: Tracer | null = null;

/** Passes a result on, and tells the tracer of it. */
export function traced<T>(name: string, args: readonly unknown[], result: T): T {
  tracer?.(name, args, result);
  return result;
}

/** Runs `fn` with `next` told of every operation. */
export function withTracer<T>(next: Tracer, fn: () => T): T {
  const before = tracer;
  tracer = next;
  try {
    return fn();
  } finally {
    tracer = before;
  }
}
