/**
 * `torch.save` and `torch.load`: the door to files that the core keeps. What they need is loaded when they are first called, so
 * that a page which saves nothing carries none of it.
 */
import { checkOptions, refuseArgument } from "../arguments.js";
import type { DeviceLike } from "../device/index.js";

export interface LoadOptions {
  /** Where tensors go; the default device unless given. */
  mapLocation?: DeviceLike;
  /** What the file may unpack to: a hundred times its size, but at least a gigabyte, unless given. */
  maxBytes?: number;
}

/**
 * Writes a value as PyTorch's .pt file: state dicts of modules and optimisers, and whole checkpoints of tensors, numbers,
 * strings, booleans, null, arrays, Maps, Sets, bytes and plain objects. PyTorch opens it with `torch.load(weights_only=True)`.
 * Tensors that share memory share it in the file; parameters stay parameters.
 *
 * `target` is a path, where the file appears whole or not at all, or a stream, as a page has it. Await it before the tensors
 * change. Whole numbers become Python's int, others its float.
 *
 * Errors: ValueError for what no file holds (a module: save its `stateDict()`), naming where it lies; DataError when the file
 * cannot be written.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn, optim } from "cresset";
 *
 * const model = new nn.Linear(2, 1);
 * const optimiser = new optim.Adam(model.parameters());
 * await torch.save({ epoch: 3, model: model.stateDict(), optimizer: optimiser.stateDict() }, "checkpoint.pt");
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.save.html}
 */
export async function save(value: unknown, target: string | WritableStream<Uint8Array>): Promise<void> {
  if (typeof target !== "string" && typeof (target as WritableStream | null)?.getWriter !== "function") {
    refuseArgument("save", "target", target, "a path, as a string, or a WritableStream");
  }
  const { savePyTorch } = await import("./pytorch.js");
  await savePyTorch(value, target);
}

/**
 * Reads what `torch.save` wrote, here or in PyTorch, from a path or from bytes that were fetched. Files in safetensors, .npz and
 * .npy are known by their content and read too.
 *
 * No code runs: a file is read as data, and whatever is not data (a pickled module, a function) is an error that names it. Dicts
 * whose keys are strings come as objects without a prototype, others as Maps, tuples as arrays, None as null.
 *
 * Errors: DataError when the file is absent; FormatError for one that is damaged, lies about its sizes or holds what is not here.
 *
 * ```ts
 * import * as torch from "cresset";
 * import { nn } from "cresset";
 *
 * const model = new nn.Linear(2, 1);
 * await torch.save({ epoch: 3, model: model.stateDict() }, "model.pt");
 * const checkpoint = await torch.load<{ epoch: number; model: nn.StateDict }>("model.pt");
 * model.loadStateDict(checkpoint.model);
 * ```
 *
 * Source: {@link https://docs.pytorch.org/docs/stable/generated/torch.load.html}
 */
export async function load<T = unknown>(
  source: string | Uint8Array | ArrayBuffer,
  options: LoadOptions = {},
): Promise<T> {
  if (typeof source !== "string" && !(source instanceof Uint8Array) && !(source instanceof ArrayBuffer)) {
    refuseArgument("load", "source", source, "a path, as a string, or bytes");
  }
  checkOptions("load", options);
  const { loadAny } = await import("./pytorch.js");
  return (await loadAny(source, options)) as T;
}
