/**
 * Reads PyTorch's .pt and .pth files: an archive with a pickle (`data.pkl`) that names storages, and one entry a storage. The
 * pickle is read as data (`pickle-reader.ts`), with the closed list of classes below, so no code of a file ever runs. Storages
 * are checked against the archive first and then filled in place; tensors that share one share it here.
 *
 * Source: https://docs.pytorch.org/docs/stable/notes/serialization.html, torch/_weights_only_unpickler.py
 */
import { FormatError } from "../errors.js";
import { Parameter } from "../nn/parameter.js";
import { wrap } from "../ops/core.js";
import { itemBytes } from "../ops/dtype.js";
import { isContiguous, numelOf } from "../ops/shape.js";
import { type DeviceLike, type DType, device as deviceByName, type Tensor } from "../tensor/index.js";
import { type ArchiveEntry, readEntry } from "./archive.js";
import { type Known, PyDict, PyTuple, unpickle } from "./pickle-reader.js";
import { dtypeOfStorage, isDTypeName } from "./pytorch-dtypes.js";
import { TensorSink } from "./tensor-bytes.js";

/** A pickle longer than this is not read: it holds no tensor data, only names and numbers. */
const maxPickleBytes = 256 * 1024 * 1024;
/** Python's own writer stops at about as many. */
const maxDepth = 1000;
const maxDimensions = 64;

class PyStorage {
  constructor(
    readonly dtype: DType,
    readonly key: string,
    readonly numel: number,
  ) {}
}

class PyTensor {
  requiresGrad = false;
  parameter = false;
  constructor(
    readonly storage: PyStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

class PyStorageType {
  constructor(readonly dtype: DType) {}
}

class PySet {
  constructor(readonly items: readonly unknown[]) {}
}

const fail = (what: string): never => {
  throw new FormatError(what);
};

const sizesOf = (value: unknown, what: string): readonly number[] => {
  const items = value instanceof PyTuple ? value.items : fail(`${what} is no tuple`);
  if (items.length > maxDimensions) fail(`${items.length} dimensions; at most ${maxDimensions} are read`);
  return items.map((item) => wholeNumber(item, what));
};
const wholeNumber = (value: unknown, what: string): number =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail(`${what} is no whole number`);

function tensorOf([storage, offset, size, stride, requiresGrad, , metadata]: readonly unknown[]): PyTensor {
  // A sign or a conjugation that PyTorch has put off.
  if (metadata instanceof PyDict && metadata.entries.size > 0)
    fail(`the tensor's ${[...metadata.entries.keys()].map(String).join(", ")} is not read; save a clone of it`);
  if (!(storage instanceof PyStorage)) return fail("its first argument is no storage");
  const shape = sizesOf(size, "a size");
  const strides = sizesOf(stride, "a stride");
  const start = wholeNumber(offset, "the offset");
  if (shape.length !== strides.length) fail(`${shape.length} sizes and ${strides.length} strides`);
  const numel = numelOf(shape);
  if (!Number.isSafeInteger(numel)) fail(`shape (${shape.join(", ")}) is too large`);
  const last = numel === 0 ? start - 1 : shape.reduce((end, n, i) => end + (n - 1) * (strides[i] as number), start);
  if (last >= storage.numel) {
    fail(
      `shape (${shape.join(", ")}) with strides (${strides.join(", ")}) from ${start} leaves its ${storage.numel} elements`,
    );
  }
  const tensor = new PyTensor(storage, start, shape, strides);
  tensor.requiresGrad = requiresGrad === true;
  return tensor;
}

function parameterOf([data, requiresGrad]: readonly unknown[]): PyTensor {
  if (!(data instanceof PyTensor)) return fail("its first argument is no tensor");
  const tensor = new PyTensor(data.storage, data.offset, data.shape, data.strides);
  tensor.parameter = true;
  tensor.requiresGrad = requiresGrad === true;
  return tensor;
}

function dictOf(args: readonly unknown[]): PyDict {
  const dict = new PyDict();
  const [items] = args;
  if (items instanceof PyDict) for (const [key, value] of items.entries) dict.entries.set(key, value);
  else if (Array.isArray(items)) {
    for (const pair of items) {
      const [key, value] =
        pair instanceof PyTuple || Array.isArray(pair) ? [...entriesOf(pair)] : fail("an item is no pair");
      dict.entries.set(key, value);
    }
  } else if (args.length > 0) fail("its argument is no dict");
  return dict;
}
const entriesOf = (value: PyTuple | readonly unknown[]): readonly unknown[] =>
  value instanceof PyTuple ? value.items : value;

const latin1 = ([text, encoding]: readonly unknown[]): Uint8Array => {
  if (typeof text !== "string" || encoding !== "latin1") return fail("only strings in latin1 are bytes");
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
};

const setOf = ([items]: readonly unknown[]): PySet =>
  new PySet(Array.isArray(items) ? items : fail("its argument is no list"));

/** Every class that is read, but for storages and dtypes. */
const classes: Readonly<Record<string, (args: readonly unknown[]) => unknown>> = {
  "torch._utils._rebuild_tensor_v2": tensorOf,
  "torch._utils._rebuild_tensor": tensorOf,
  "torch._utils._rebuild_parameter": parameterOf,
  "torch._utils._rebuild_parameter_with_state": parameterOf,
  "collections.OrderedDict": dictOf,
  "collections.Counter": dictOf,
  "torch.Size": ([sizes]) =>
    new PyTuple(sizes instanceof PyTuple || Array.isArray(sizes) ? entriesOf(sizes) : fail("no sizes")),
  "torch.device": ([type, index]) =>
    typeof type === "string" ? (index === undefined ? type : `${type}:${String(index)}`) : fail("a device has a name"),
  "_codecs.encode": latin1,
  "__builtin__.set": setOf,
  "builtins.set": setOf,
};

function known(module: string, name: string): Known | PyStorageType | DType | null {
  const full = `${module}.${name}`;
  const make = Object.hasOwn(classes, full) ? classes[full] : undefined;
  if (make !== undefined) return { name: full, make };
  if (module !== "torch") return null;
  const dtype = dtypeOfStorage(name);
  if (dtype !== undefined) return new PyStorageType(dtype);
  return isDTypeName(name) ? name : null;
}

/** What is in the archive of a .pt file. Errors: FormatError, as `torch.load` says. */
export async function readPyTorch(
  entries: ReadonlyMap<string, ArchiveEntry>,
  name: string,
  mapLocation?: DeviceLike,
): Promise<unknown> {
  const { prefix, pickle } = findPickle(entries, name);
  const bytes = await readEntry(pickle);
  const storages = new Map<string, PyStorage>();
  const value = unpickle(bytes, name, {
    known,
    persistent: (id) => storageOf(id, storages, name),
  });
  const littleEndian = await isLittleEndian(entries.get(`${prefix}byteorder`), name);
  for (const { key, dtype, numel } of storages.values()) {
    const held = entries.get(`${prefix}data/${key}`)?.size;
    const bytes = numel * itemBytes[dtype];
    if (held !== bytes) {
      throw new FormatError(
        `${name}: storage ${JSON.stringify(key)} of ${numel} ${dtype} takes ${bytes} bytes; ` +
          `the archive has ${held === undefined ? "none of that name" : held}`,
      );
    }
  }
  const memory = new Map<PyStorage, Tensor>();
  for (const storage of storages.values()) {
    const { key, dtype, numel } = storage;
    const sink = new TensorSink(`${name}: storage ${JSON.stringify(key)}`, [numel], dtype, littleEndian);
    await (entries.get(`${prefix}data/${key}`) as ArchiveEntry).read((piece) => sink.write(piece));
    const filled = sink.finish();
    memory.set(storage, mapLocation === undefined ? filled : filled.to({ device: deviceByName(mapLocation) }));
  }
  return toJavaScript(value, memory, name);
}

function findPickle(
  entries: ReadonlyMap<string, ArchiveEntry>,
  name: string,
): { prefix: string; pickle: ArchiveEntry } {
  const found = [...entries.keys()].filter((entry) => /^[^/]+\/data\.pkl$/.test(entry));
  const [path] = found;
  if (path === undefined || found.length > 1) {
    throw new FormatError(`${name}: not a file of torch.save: the archive has ${found.length} pickles (…/data.pkl)`);
  }
  const prefix = path.slice(0, -"data.pkl".length);
  if (entries.has(`${prefix}constants.pkl`)) {
    throw new FormatError(
      `${name}: a TorchScript program; only what torch.save wrote is read. Save model.state_dict()`,
    );
  }
  const pickle = entries.get(path) as ArchiveEntry;
  if (pickle.size > maxPickleBytes) {
    throw new FormatError(`${name}: a pickle of ${pickle.size} bytes; at most ${maxPickleBytes} are read`);
  }
  return { prefix, pickle };
}

async function isLittleEndian(entry: ArchiveEntry | undefined, name: string): Promise<boolean> {
  if (entry === undefined) return true;
  const order = entry.size > 6 ? "" : new TextDecoder().decode(await readEntry(entry));
  if (order !== "little" && order !== "big") throw new FormatError(`${name}: byteorder is neither little nor big`);
  return order === "little";
}

/** A persistent id is ("storage", its class, its key, its device, its elements). */
function storageOf(id: readonly unknown[], storages: Map<string, PyStorage>, name: string): PyStorage {
  const [tag, type, key, , numel] = id;
  if (tag !== "storage" || typeof key !== "string") throw new FormatError(`${name}: a persistent id is no storage`);
  if (!(type instanceof PyStorageType)) throw new FormatError(`${name}: a storage's class is no storage class`);
  if (!Number.isSafeInteger(numel) || (numel as number) < 0 || !Number.isSafeInteger((numel as number) * 8)) {
    throw new FormatError(`${name}: storage ${JSON.stringify(key)} has ${String(numel)} elements`);
  }
  const before = storages.get(key);
  if (before === undefined) {
    const storage = new PyStorage(type.dtype, key, numel as number);
    storages.set(key, storage);
    return storage;
  }
  if (before.dtype !== type.dtype || before.numel !== numel) {
    throw new FormatError(`${name}: storage ${JSON.stringify(key)} is described in two ways`);
  }
  return before;
}

/**
 * Python's values as JavaScript's: None is null, lists and tuples are arrays, a dict is an object where all its keys are
 * strings (without a prototype: any name is safe) and a Map where they are not. What is shared or in a ring stays so.
 */
function toJavaScript(value: unknown, memory: ReadonlyMap<PyStorage, Tensor>, name: string): unknown {
  const made = new Map<unknown, unknown>();
  const convert = (value: unknown, depth: number): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (made.has(value)) return made.get(value);
    if (depth > maxDepth) throw new FormatError(`${name}: values lie in each other more than ${maxDepth} deep`);
    const keep = <T>(result: T): T => {
      made.set(value, result);
      return result;
    };
    const fill = (result: unknown[], items: readonly unknown[]): unknown[] => {
      for (const item of items) result.push(convert(item, depth + 1));
      return result;
    };
    if (Array.isArray(value)) return fill(keep([]), value);
    if (value instanceof PyTuple) return fill(keep([]), value.items);
    if (value instanceof PyTensor) return keep(tensorIn(value, memory.get(value.storage) as Tensor));
    if (value instanceof Uint8Array) return value;
    if (value instanceof PySet) return keep(new Set(fill([], value.items)));
    if (!(value instanceof PyDict)) {
      throw new FormatError(
        `${name}: a class is no value: ${value instanceof PyStorage ? "a bare storage" : "a type"}`,
      );
    }
    if ([...value.entries.keys()].every((key) => typeof key === "string")) {
      const object = keep(Object.create(null) as Record<string, unknown>);
      for (const [key, item] of value.entries) object[key as string] = convert(item, depth + 1);
      return object;
    }
    const map = keep(new Map<unknown, unknown>());
    for (const [key, item] of value.entries) map.set(convert(key, depth + 1), convert(item, depth + 1));
    return map;
  };
  return convert(value, 0);
}

function tensorIn({ offset, shape, strides, requiresGrad, parameter }: PyTensor, storage: Tensor): Tensor {
  const { buffer, device, dtype } = storage;
  const tensor = wrap(buffer, device, dtype, shape, strides, offset, isContiguous(shape, strides));
  if (parameter) return new Parameter(tensor, requiresGrad);
  if (requiresGrad) tensor.requiresGrad = true;
  return tensor;
}
