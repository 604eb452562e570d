/**
 * An ONNX graph as it grows: nodes, constants, names. What an operation becomes is written in `export-layers.ts`,
 * `export-tensors.ts` and `export-views.ts`, in terms of this.
 */
import { create } from "@bufbuild/protobuf";
import { ValueError } from "../../errors.js";
import { type DType, promoteTypes, type Shape, type Tensor, tensor } from "../../tensor/index.js";
import { elementTypes, toProto } from "./format.js";
import { AttributeProtoSchema, type NodeProto, NodeProtoSchema, type TensorProto } from "./onnx_pb.js";
import { type Operation, Value } from "./trace.js";

/** A value of the ONNX graph: its name, and what is known of it. */
export interface Term {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

export type Attribute = number | { readonly float: number } | string | readonly number[];

export class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  private readonly terms = new Map<Value, Term>();
  private readonly names = new Set<string>();
  private readonly constants = new Map<string, string>();

  constructor(
    readonly opset: number,
    /** The name of a tensor that the model owns. */
    private readonly nameOf: (tensor: Tensor) => string | undefined,
  ) {}

  /** A name that nobody has yet. */
  unique(wanted: string): string {
    let name = wanted;
    for (let i = 1; this.names.has(name); i++) name = `${wanted}_${i}`;
    this.names.add(name);
    return name;
  }

  bind(value: Value, term: Term): void {
    this.terms.set(value, term);
  }

  /** The term of a traced value; what the model brought along becomes an initializer. */
  term(value: Value): Term {
    const known = this.terms.get(value);
    if (known !== undefined) return known;
    if (value.unseen !== null) {
      throw new ValueError(`exportOnnx: the operation ${value.unseen} cannot be exported`);
    }
    if (value.operation !== null) throw new ValueError(`exportOnnx: ${value.operation.name} gave a result out of turn`);
    const source = value.tensor.detach();
    const term = { name: this.unique(this.nameOf(source) ?? "constant"), shape: value.shape, dtype: value.dtype };
    this.initializers.push(toProto(source, term.name));
    this.bind(value, term);
    return term;
  }

  /** A constant, once for each content. */
  constant(values: number | readonly number[], dtype: DType): Term {
    const list = typeof values === "number" ? [values] : values;
    const shape = typeof values === "number" ? [] : [list.length];
    const key = `${dtype} ${shape.join()} ${list.map((v) => (Object.is(v, -0) ? "-0" : String(v))).join()}`;
    let name = this.constants.get(key);
    if (name === undefined) {
      name = this.unique("constant");
      this.constants.set(key, name);
      const content = tensor(list.length === 1 && shape.length === 0 ? (list[0] as number) : list, { dtype });
      this.initializers.push(toProto(content, name));
    }
    return { name, shape, dtype };
  }

  /** Sizes, axes, positions: ONNX wants them as int64. */
  integers(values: readonly number[]): Term {
    return this.constant(values, "int64");
  }

  /** Adds a node with one output. `like` says what is known of it. */
  node(
    type: string,
    inputs: readonly (Term | null)[],
    like: { shape: Shape; dtype: DType },
    attributes: Readonly<Record<string, Attribute | undefined>> = {},
  ): Term {
    const name = this.unique(`${type.toLowerCase()}`);
    const given = inputs.map((input) => input?.name ?? "");
    while (given.at(-1) === "") given.pop();
    this.nodes.push(
      create(NodeProtoSchema, {
        opType: type,
        name,
        input: given,
        output: [name],
        attribute: Object.entries(attributes).flatMap(([key, value]) =>
          value === undefined ? [] : [attribute(key, value)],
        ),
      }),
    );
    return { name, shape: like.shape, dtype: like.dtype };
  }

  cast(term: Term, dtype: DType): Term {
    return term.dtype === dtype
      ? term
      : this.node("Cast", [term], { shape: term.shape, dtype }, { to: elementTypes[dtype] });
  }

  /** Reshape that copies leading sizes which stay, so that a batch may have any. */
  reshape(term: Term, shape: Shape): Term {
    let same = 0;
    while (same < Math.min(shape.length, term.shape.length) && shape[same] === term.shape[same]) same += 1;
    const target = shape.map((size, i) => (i < same ? 0 : size));
    if (same === shape.length - 1 && !shape.includes(0)) target[same] = -1;
    return this.node("Reshape", [term, this.integers(target)], { shape, dtype: term.dtype });
  }

  /** Reduction over axes, which are an attribute before opset 18 and an input since. */
  reduce(type: string, term: Term, axes: readonly number[], keepdims: boolean, shape: Shape): Term {
    const like = { shape, dtype: term.dtype };
    const keep = { keepdims: keepdims ? 1 : 0 };
    const asInput = type === "ReduceSum" || this.opset >= 18;
    return asInput
      ? this.node(type, [term, this.integers(axes)], like, keep)
      : this.node(type, [term], like, { ...keep, axes });
  }

  /** The two operands of an arithmetic operation at one dtype; a number takes the other's. */
  operands(a: unknown, b: unknown, dtype?: DType): [Term, Term] {
    const first = a instanceof Value ? this.term(a) : null;
    const second = b instanceof Value ? this.term(b) : null;
    const common =
      dtype ?? (first && second ? promoteTypes(first.dtype, second.dtype) : ((first ?? second) as Term).dtype);
    const side = (term: Term | null, given: unknown) =>
      term === null ? this.constant(Number(given), common) : this.cast(term, common);
    return [side(first, a), side(second, b)];
  }
}

function attribute(name: string, value: Attribute) {
  // AttributeProto.AttributeType: FLOAT, INT, STRING, INTS
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: 2, i: BigInt(value) });
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: 3, s: new TextEncoder().encode(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: 1, f: value.float });
  return create(AttributeProtoSchema, { name, type: 7, ints: value.map(BigInt) });
}

/** How an operation is exported: its terms in, one term out for each output, or undefined for outputs that are not. */
export type Exporter = (graph: GraphBuilder, operation: Operation) => readonly (Term | undefined)[];

/** Throws the error that names an operation and what of it is not exported. */
export function refuse(operation: Operation, what: string): never {
  throw new ValueError(`exportOnnx: ${operation.name}: ${what}`);
}

/** The first argument as a term: what a method is called on. */
export const first = (graph: GraphBuilder, operation: Operation): Term => graph.term(operation.args[0] as Value);
/** The only output. */
export const output = ({ outputs }: Operation): Value => outputs[0] as Value;
/** A dimension counted from the front. */
export const wrap = (dim: number, rank: number): number => (dim < 0 ? dim + rank : dim);
/** 0 … rank − 1. */
export const counted = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i);
