/**
 * A whole training state in one safetensors file: tensors by their path in the state, everything else as JSON in the header.
 * Written whole or not at all, read without running anything. What is in the state is the business of the trainer.
 */
import { FormatError, ValueError } from "../errors.js";
import { loadFile, loadMetadata, type NamedTensors, saveFile } from "../io/index.js";
import { isTensor, type Tensor } from "../tensor/index.js";

/** Plain data with tensors in it. */
export type State =
  | null
  | boolean
  | number
  | string
  | Tensor
  | readonly State[]
  | { readonly [name: string]: State | undefined };

const key = "cresset.state";
/** Where a tensor stood; its value is the tensor's name in the file. */
const mark = "$tensor";

/** Writes `state` to `path`. Throws ValueError for what is neither plain data nor a tensor. */
export function saveState(state: State, path: string): void {
  const tensors: NamedTensors = Object.create(null);
  const strip = (value: State | undefined, place: string): unknown => {
    if (isTensor(value)) {
      tensors[place] = value;
      return { [mark]: place };
    }
    if (typeof value === "number") {
      // JSON has no NaN and no infinities.
      return Number.isFinite(value) ? value : { $number: String(value) };
    }
    if (Array.isArray(value)) return value.map((item, i) => strip(item, `${place}.${i}`));
    if (typeof value === "object" && value !== null) {
      const members = Object.entries(value).filter(([, member]) => member !== undefined);
      return Object.fromEntries(members.map(([name, member]) => [name, strip(member, `${place}.${name}`)]));
    }
    if (value === null || typeof value === "boolean" || typeof value === "string") return value;
    throw new ValueError(`checkpoint: ${place} is a ${typeof value}; a state holds tensors and plain data`);
  };
  const plain = JSON.stringify(strip(state, "state"));
  saveFile(tensors, path, { [key]: plain, framework: "cresset" });
}

/** What `saveState` wrote. Throws DataError when the file is absent, FormatError when it holds no state. */
export function loadState(path: string): State {
  const text = loadMetadata(path)[key];
  if (text === undefined) throw new FormatError(`${path}: holds tensors, but no training state`);
  const tensors = loadFile(path);
  const restore = (value: unknown): State => {
    if (Array.isArray(value)) return value.map(restore);
    if (typeof value !== "object" || value === null) return value as State;
    const members = Object.entries(value);
    const [first] = members;
    if (members.length === 1 && first?.[0] === "$number") return Number(first[1]);
    if (members.length === 1 && first?.[0] === mark) {
      const tensor = tensors[String(first[1])];
      if (tensor === undefined) throw new FormatError(`${path}: tensor ${JSON.stringify(first[1])} is missing`);
      return tensor;
    }
    // Object.fromEntries defines properties, so a member called __proto__ is one.
    return Object.fromEntries(members.map(([name, member]) => [name, restore(member)]));
  };
  let plain: unknown;
  try {
    plain = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${path}: the training state is not JSON`, { cause: error });
  }
  return restore(plain);
}
