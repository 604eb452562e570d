/**
 * Writes values as a Python pickle of protocol 2, the way `torch.save` does. Tensors become `_rebuild_tensor_v2` over a storage
 * that is named and handed to the caller, who writes its bytes.
 */
import type { Buffer } from "../device/engine.js";
import { Device } from "../device/index.js";
import { ValueError } from "../errors.js";
import { Parameter } from "../nn/parameter.js";
import { itemBytes } from "../ops/dtype.js";
import { Tensor } from "../tensor/index.js";
import { op } from "./pickle-opcodes.js";
import { storageClasses } from "./pytorch-dtypes.js";

/** Python's own reader would run out of stack not far beyond. */
const maxDepth = 500;
const int32 = 2 ** 31;
/** Items between two MARKs, as Python's writer has it. */
const batch = 1000;

/** A pickle, and the tensors whose whole memory it names: storage i is `storages[i]`. */
export interface Pickled {
  readonly bytes: Uint8Array;
  readonly storages: readonly Tensor[];
}

/**
 * Pickles a value: null, booleans, numbers, bigints, strings, Uint8Array, tensors, devices, arrays, Maps, Sets and plain
 * objects of these, in rings if need be. Throws ValueError for anything else, naming where it lies.
 */
export function pickle(value: unknown): Pickled {
  const writer = new PickleWriter();
  writer.byte(op.PROTO, 2);
  writer.value(value, "the value", 0);
  writer.byte(op.STOP);
  return { bytes: writer.bytes(), storages: writer.storages };
}

class PickleWriter {
  readonly storages: Tensor[] = [];
  private readonly numbers = new Map<Buffer, number>();
  private readonly memo = new Map<unknown, number>();
  /** What a class goes by in the memo: its name would be taken for a string. */
  private readonly classes = new Map<string, object>();
  private out = new Uint8Array(4096);
  private view = new DataView(this.out.buffer);
  private length = 0;

  bytes(): Uint8Array {
    return this.out.slice(0, this.length);
  }

  byte(...bytes: number[]): void {
    const at = this.room(bytes.length);
    this.out.set(bytes, at);
  }

  value(value: unknown, path: string, depth: number): void {
    if (depth > maxDepth) throw new ValueError(`save: ${path.slice(0, 100)}… lies more than ${maxDepth} deep`);
    if (value === null || value === undefined) this.byte(op.NONE);
    else if (typeof value === "boolean") this.byte(value ? op.NEWTRUE : op.NEWFALSE);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "bigint") this.bigint(value, path);
    else if (typeof value === "string") this.string(value);
    else if (typeof value === "object") this.object(value, path, depth);
    else throw new ValueError(`save: ${path} is a ${typeof value}, which no file holds`);
  }

  private object(value: object, path: string, depth: number): void {
    if (this.recall(value)) return;
    if (value instanceof Tensor) this.tensor(value);
    else if (value instanceof Device) this.device(value);
    else if (value instanceof Uint8Array) this.binary(value);
    else if (Array.isArray(value)) this.list(value, path, depth);
    else if (value instanceof Map) this.dict(value, value, path, depth);
    else if (value instanceof Set) this.set(value, path, depth);
    else if (isPlain(value)) {
      const given = Object.entries(value).filter(([, item]) => item !== undefined);
      this.dict(value, new Map(given), path, depth);
    } else throw new ValueError(`save: ${path} is ${refusal(value)}`);
  }

  private number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.byte(op.BINFLOAT);
      const at = this.room(8);
      this.view.setFloat64(at, value, false);
    } else if (value >= 0 && value < 256) this.byte(op.BININT1, value);
    else if (value >= 0 && value < 65536) this.byte(op.BININT2, value & 255, value >> 8);
    else if (value >= -int32 && value < int32) {
      this.byte(op.BININT);
      const at = this.room(4);
      this.view.setInt32(at, value, true);
    } else this.bigint(BigInt(value), "");
  }

  private bigint(value: bigint, path: string): void {
    let length = 1;
    while (BigInt.asIntN(8 * length, value) !== value) {
      length += 1;
      if (length > 255) throw new ValueError(`save: ${path} has more than 2040 bits`);
    }
    this.byte(op.LONG1, length);
    for (let i = 0; i < length; i++) this.byte(Number((value >> BigInt(8 * i)) & 255n));
  }

  private string(value: string): void {
    if (this.recall(value)) return;
    const bytes = new TextEncoder().encode(value);
    this.byte(op.BINUNICODE);
    const at = this.room(4);
    this.view.setUint32(at, bytes.length, true);
    const start = this.room(bytes.length);
    this.out.set(bytes, start);
    this.remember(value);
  }

  private list(value: readonly unknown[], path: string, depth: number): void {
    this.byte(op.EMPTY_LIST);
    this.remember(value);
    for (let start = 0; start < value.length; start += batch) {
      this.byte(op.MARK);
      for (let i = start; i < Math.min(value.length, start + batch); i++) {
        this.value(value[i], `${path}[${i}]`, depth + 1);
      }
      this.byte(op.APPENDS);
    }
  }

  private dict(identity: object, entries: ReadonlyMap<unknown, unknown>, path: string, depth: number): void {
    this.byte(op.EMPTY_DICT);
    this.remember(identity);
    const list = [...entries];
    for (let start = 0; start < list.length; start += batch) {
      this.byte(op.MARK);
      for (const [key, item] of list.slice(start, start + batch)) {
        this.value(hashable(key, path), path, depth + 1);
        this.value(item, `${path}.${String(key)}`, depth + 1);
      }
      this.byte(op.SETITEMS);
    }
  }

  private set(value: ReadonlySet<unknown>, path: string, depth: number): void {
    this.global("__builtin__", "set");
    this.list(
      [...value].map((item) => hashable(item, path)),
      path,
      depth,
    );
    this.byte(op.TUPLE1, op.REDUCE);
    this.remember(value);
  }

  private binary(value: Uint8Array): void {
    this.global("_codecs", "encode");
    let text = "";
    for (const byte of value) text += String.fromCharCode(byte);
    this.string(text);
    this.string("latin1");
    this.byte(op.TUPLE2, op.REDUCE);
    this.remember(value);
  }

  private device({ type, index }: Device): void {
    this.global("torch", "device");
    this.string(type);
    if (index !== null) this.number(index);
    this.byte(index === null ? op.TUPLE1 : op.TUPLE2, op.REDUCE);
  }

  /** _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, OrderedDict()) */
  private tensor(tensor: Tensor): void {
    const parameter = tensor instanceof Parameter;
    if (parameter) {
      this.global("torch._utils", "_rebuild_parameter");
      this.byte(op.MARK);
    }
    this.global("torch._utils", "_rebuild_tensor_v2");
    this.byte(op.MARK);
    this.storage(tensor);
    this.number(tensor.storageOffset());
    this.sizes(tensor.shape);
    this.sizes(tensor.stride());
    this.byte(!parameter && tensor.requiresGrad ? op.NEWTRUE : op.NEWFALSE);
    this.noHooks();
    this.byte(op.TUPLE, op.REDUCE);
    if (parameter) {
      this.byte(tensor.requiresGrad ? op.NEWTRUE : op.NEWFALSE);
      this.noHooks();
      this.byte(op.TUPLE, op.REDUCE);
    }
    this.remember(tensor);
  }

  private noHooks(): void {
    this.global("collections", "OrderedDict");
    this.byte(op.EMPTY_TUPLE, op.REDUCE);
  }

  private storage({ buffer, dtype, device }: Tensor): void {
    const numel = buffer.bytes / itemBytes[dtype];
    let number = this.numbers.get(buffer);
    if (number === undefined) {
      number = this.storages.length;
      this.numbers.set(buffer, number);
      this.storages.push(new Tensor(buffer, device, dtype, [numel], [1], 0, true));
    }
    this.byte(op.MARK);
    this.string("storage");
    this.global("torch", storageClasses[dtype]);
    this.string(String(number));
    this.string("cpu");
    this.number(numel);
    this.byte(op.TUPLE, op.BINPERSID);
  }

  private sizes(sizes: readonly number[]): void {
    this.byte(op.MARK);
    for (const size of sizes) this.number(size);
    this.byte(op.TUPLE);
  }

  private global(module: string, name: string): void {
    const text = `${module}\n${name}\n`;
    let identity = this.classes.get(text);
    if (identity === undefined) {
      identity = {};
      this.classes.set(text, identity);
    }
    if (this.recall(identity)) return;
    this.byte(op.GLOBAL, ...new TextEncoder().encode(text));
    this.remember(identity);
  }

  private remember(value: unknown): void {
    const number = this.memo.size;
    this.memo.set(value, number);
    this.numbered(op.BINPUT, op.LONG_BINPUT, number);
  }

  private recall(value: unknown): boolean {
    const number = this.memo.get(value);
    if (number !== undefined) this.numbered(op.BINGET, op.LONG_BINGET, number);
    return number !== undefined;
  }

  private numbered(short: number, long: number, number: number): void {
    if (number < 256) this.byte(short, number);
    else {
      this.byte(long);
      const at = this.room(4);
      this.view.setUint32(at, number, true);
    }
  }

  /** Makes room for so many bytes, and says where. */
  private room(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.out.length) {
      const larger = new Uint8Array(Math.max(2 * this.out.length, this.length));
      larger.set(this.out);
      this.out = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refusal(value: object): string {
  const name = value.constructor.name;
  if (typeof (value as { stateDict?: unknown }).stateDict === "function") return `a ${name}; save its stateDict()`;
  if (ArrayBuffer.isView(value)) return `a ${name}; make it a tensor: torch.tensor(array)`;
  return `a ${name}, an object of a class of its own; plain values are saved`;
}

/** Keys of a dict and members of a set: what JavaScript compares by value, as Python does. */
function hashable(key: unknown, path: string): unknown {
  if (key === null || ["string", "number", "bigint", "boolean"].includes(typeof key)) return key;
  throw new ValueError(`save: ${path} has a key or member that is a ${typeof key}; strings and numbers can be one`);
}
