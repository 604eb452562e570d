/**
 * Reads Python pickles that hold data and nothing else. A pickle is a program for a small stack machine, and Python's own
 * reader lets it call anything; here it has the instructions of `pickle-opcodes.ts` and the classes that its reader names, and
 * neither imports nor calls. What Python's values become in JavaScript is decided in `pytorch-values.ts`.
 */
import { FormatError } from "../errors.js";
import { op, opcodeName } from "./pickle-opcodes.js";

/** A tuple, which lists are not: it cannot be appended to. */
export class PyTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A dict of any kind. Keys are compared as JavaScript's Map does: strings, numbers and booleans by value. */
export class PyDict {
  readonly entries = new Map<unknown, unknown>();
}

/** A class or function that a pickle names and the reader knows. `make` turns its arguments into a value. */
export interface Known {
  readonly name: string;
  make(args: readonly unknown[]): unknown;
}

export interface PickleReader {
  /** What stands for a class, function or constant of this name: a `Known` if it is called. Null if it is none that is read. */
  known(module: string, name: string): unknown;
  /** The value behind a persistent id: a storage. */
  persistent(id: readonly unknown[]): unknown;
}

/** Runs a pickle to its end and gives what it leaves. Throws FormatError for whatever is not plain data. */
export function unpickle(bytes: Uint8Array, name: string, reader: PickleReader): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const latin1 = new TextDecoder("latin1");
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let stack: unknown[] = [];
  const outer: unknown[][] = [];
  const memo = new Map<number, unknown>();
  let at = 0;
  let instruction = 0;

  const fail = (what: string): never => {
    throw new FormatError(`${name}: byte ${instruction} of the pickle: ${what}`);
  };
  const take = (length: number): number => {
    if (length > bytes.length - at) fail(`ends inside an instruction`);
    at += length;
    return at - length;
  };
  const pop = (): unknown => (stack.length === 0 ? fail("takes from an empty stack") : stack.pop());
  const top = (): unknown => (stack.length === 0 ? fail("looks at an empty stack") : stack[stack.length - 1]);
  const popMark = (): unknown[] => {
    const items = stack;
    stack = outer.pop() ?? fail("takes back to a mark that was not made");
    return items;
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || end - at > 1000) return fail("names a class without an end");
    const text = latin1.decode(bytes.subarray(at, end));
    at = end + 1;
    return text;
  };
  const text = (length: number): string => {
    const start = take(length);
    try {
      return utf8.decode(bytes.subarray(start, start + length));
    } catch {
      return fail("a string is not UTF-8");
    }
  };
  const setItems = (items: readonly unknown[]): void => {
    const target = top();
    const dict = target instanceof PyDict ? target : fail("sets an item of what is no dict");
    if (items.length % 2 !== 0) fail("a key has no value");
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i], items[i + 1]);
  };
  const append = (items: readonly unknown[]): void => {
    const target = top();
    const list = Array.isArray(target) ? target : fail("appends to what is no list");
    for (const item of items) list.push(item);
  };
  const call = (): void => {
    const [args, target] = [pop(), pop()];
    const { items } = args instanceof PyTuple ? args : fail("arguments are no tuple");
    const { name, make } = isKnown(target) ? target : fail("calls what is no class");
    try {
      stack.push(make(items));
    } catch (error) {
      if (error instanceof FormatError) fail(`${name}: ${error.message}`);
      throw error;
    }
  };
  const remember = (key: number): void => void memo.set(key, top());
  const recall = (key: number): void => {
    if (!memo.has(key)) fail(`recalls ${key}, which was not kept`);
    stack.push(memo.get(key));
  };

  for (;;) {
    instruction = at;
    const code = bytes[take(1)] as number;
    switch (code) {
      case op.PROTO: {
        const protocol = bytes[take(1)] as number;
        if (protocol > 2) fail(`protocol ${protocol}; torch.save writes 2 unless told otherwise, and 2 is read`);
        break;
      }
      case op.STOP: {
        const value = pop();
        if (stack.length + outer.length > 0) fail("leaves more than one value");
        return value;
      }
      case op.MARK:
        outer.push(stack);
        stack = [];
        break;
      case op.NONE:
        stack.push(null);
        break;
      case op.NEWTRUE:
        stack.push(true);
        break;
      case op.NEWFALSE:
        stack.push(false);
        break;
      case op.BININT:
        stack.push(view.getInt32(take(4), true));
        break;
      case op.BININT1:
        stack.push(bytes[take(1)]);
        break;
      case op.BININT2:
        stack.push(view.getUint16(take(2), true));
        break;
      case op.LONG1: {
        const length = bytes[take(1)] as number;
        const start = take(length);
        stack.push(integer(bytes.subarray(start, start + length)));
        break;
      }
      case op.BINFLOAT:
        stack.push(view.getFloat64(take(8), false));
        break;
      case op.BINUNICODE:
        stack.push(text(view.getUint32(take(4), true)));
        break;
      case op.SHORT_BINSTRING: {
        const length = bytes[take(1)] as number;
        const start = take(length);
        stack.push(latin1.decode(bytes.subarray(start, start + length)));
        break;
      }
      case op.EMPTY_LIST:
        stack.push([]);
        break;
      case op.EMPTY_DICT:
        stack.push(new PyDict());
        break;
      case op.EMPTY_TUPLE:
        stack.push(new PyTuple([]));
        break;
      case op.TUPLE1:
        stack.push(new PyTuple([pop()]));
        break;
      case op.TUPLE2: {
        const [b, a] = [pop(), pop()];
        stack.push(new PyTuple([a, b]));
        break;
      }
      case op.TUPLE3: {
        const [c, b, a] = [pop(), pop(), pop()];
        stack.push(new PyTuple([a, b, c]));
        break;
      }
      case op.TUPLE: {
        const items = popMark();
        stack.push(new PyTuple(items));
        break;
      }
      case op.APPEND: {
        const item = pop();
        append([item]);
        break;
      }
      case op.APPENDS: {
        const items = popMark();
        append(items);
        break;
      }
      case op.SETITEM: {
        const [value, key] = [pop(), pop()];
        setItems([key, value]);
        break;
      }
      case op.SETITEMS: {
        const items = popMark();
        setItems(items);
        break;
      }
      case op.BINPUT:
        remember(bytes[take(1)] as number);
        break;
      case op.LONG_BINPUT:
        remember(view.getUint32(take(4), true));
        break;
      case op.BINGET:
        recall(bytes[take(1)] as number);
        break;
      case op.LONG_BINGET:
        recall(view.getUint32(take(4), true));
        break;
      case op.GLOBAL: {
        const [module, member] = [line(), line()];
        const known = reader.known(module, member);
        stack.push(
          known ?? fail(`${module}.${member} is none of the classes that are read; nothing of it was loaded or run`),
        );
        break;
      }
      case op.REDUCE:
      case op.NEWOBJ:
        call();
        break;
      case op.BUILD: {
        // Attributes that Python hangs on a state dict, such as _metadata, have no place here.
        pop();
        if (!(top() instanceof PyDict)) fail("sets attributes of what is no OrderedDict");
        break;
      }
      case op.BINPERSID: {
        const id = pop();
        stack.push(id instanceof PyTuple ? reader.persistent(id.items) : fail("a persistent id is no tuple"));
        break;
      }
      default:
        fail(`the instruction ${opcodeName(code)} is none of those that data needs`);
    }
  }
}

/** Little-endian two's complement. A number where it is exact, else a bigint. */
function integer(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  if (bytes.length > 0 && (bytes[bytes.length - 1] as number) >= 0x80) value -= 1n << BigInt(8 * bytes.length);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const isKnown = (value: unknown): value is Known =>
  typeof value === "object" && value !== null && typeof (value as Partial<Known>).make === "function";
