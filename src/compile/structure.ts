/** Arguments and results taken apart: the tensors in them, what else is there, and how it is put together again. */
import { CaptureError } from "../errors.js";
import { Tensor } from "../tensor/index.js";

export interface Structure {
  readonly tensors: Tensor[];
  /** Everything but tensors, and the shape of what holds it, in order. */
  readonly rest: unknown[];
  /** The same with other tensors. */
  build(tensors: readonly Tensor[]): unknown;
}

type Builder = (tensors: readonly Tensor[]) => unknown;

export function flatten(value: readonly unknown[], what: "argument" | "result"): Structure {
  const tensors: Tensor[] = [];
  const rest: unknown[] = [];
  const visit = (v: unknown, where: string): Builder => {
    if (v instanceof Tensor) {
      const i = tensors.push(v) - 1;
      return (list) => list[i];
    }
    if (Array.isArray(v)) {
      rest.push(v.length);
      const parts = v.map((x, i) => visit(x, `${where}[${i}]`));
      return (list) => parts.map((p) => p(list));
    }
    if (typeof v === "object" && v !== null) {
      const kind = Object.getPrototypeOf(v);
      if (kind === Object.prototype || kind === null) {
        const keys = Object.keys(v);
        rest.push(keys.join());
        const parts = keys.map((k): [string, Builder] => [
          k,
          visit((v as Record<string, unknown>)[k], `${where}.${k}`),
        ]);
        return (list) => Object.fromEntries(parts.map(([k, p]) => [k, p(list)]));
      }
      if (
        ArrayBuffer.isView(v) ||
        v instanceof ArrayBuffer ||
        v instanceof Map ||
        v instanceof Set ||
        v instanceof Promise
      ) {
        throw new CaptureError(
          `torch.compile: ${what} ${where} is a ${v.constructor.name}, whose contents cannot be watched; pass tensors`,
        );
      }
    }
    rest.push(v);
    return () => v;
  };
  // One part is the usual case; the list that holds them all is not itself a part.
  const parts = value.map((v, i) => visit(v, String(i)));
  return { tensors, rest, build: (list) => parts.map((p) => p(list)) };
}
