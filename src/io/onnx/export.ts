/**
 * `exportOnnx`: runs a module on examples, writes down what ran (`trace.ts`), and says it in ONNX. Then the file's graph is run
 * on other inputs beside the module itself: a result that differs is an error and no file, so what the trace cannot see
 * (a number that JavaScript read, a batch size that was written in) does not go unnoticed.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { writeFileAtomic } from "#files";
import { ValueError } from "../../errors.js";
import type { Module } from "../../nn/module.js";
import { type DType, Generator, noGrad, rand, type Tensor } from "../../tensor/index.js";
import { layers } from "./export-layers.js";
import { tensors } from "./export-tensors.js";
import { elementTypes } from "./format.js";
import { GraphBuilder, type Term } from "./graph.js";
import { moduleOf } from "./import.js";
import type { ExportOnnxOptions } from "./index.js";
import { type ModelProto, ModelProtoSchema, type ValueInfoProto, ValueInfoProtoSchema } from "./onnx_pb.js";
import { type Operation, type Trace, tensorsIn, trace, type Value } from "./trace.js";

/** Opset 17 brought LayerNormalization; what is written holds unchanged up to 22. */
const opsets = { least: 17, most: 22 } as const;
/** The intermediate representation that goes with opset 17. */
const irVersion = 8n;

/** The names of the sizes that may differ from run to run, by input and dimension. */
type DynamicAxes = ReadonlyMap<string, ReadonlyMap<number, string>>;

export function writeOnnx(
  model: Module,
  examples: readonly Tensor[],
  path: string | null,
  { inputNames, outputNames, dynamicAxes = "batch", opset = opsets.least, verify = true }: ExportOnnxOptions,
): Uint8Array {
  if (!(Number.isInteger(opset) && opset >= opsets.least && opset <= opsets.most)) {
    throw new ValueError(`exportOnnx: opset is ${opsets.least} to ${opsets.most}, not ${opset}`);
  }
  const names = inputNames ?? examples.map((_, i) => (examples.length === 1 ? "input" : `input_${i}`));
  if (names.length !== examples.length || new Set(names).size !== names.length) {
    throw new ValueError(`exportOnnx: ${names.length} different inputNames for ${examples.length} inputs are needed`);
  }
  const axes = axesOf(dynamicAxes, names, examples);
  return inEvaluation(model, () => {
    const forward = (...inputs: Tensor[]): unknown => (model.forward as (...inputs: Tensor[]) => unknown)(...inputs);
    const { proto, places } = graphOf(model, trace(forward, examples), names, outputNames, axes, opset);
    const bytes = toBinary(ModelProtoSchema, proto);
    if (verify) check(forward, bytes, examples, names, axes, places);
    if (path !== null) writeFileAtomic(path, bytes);
    return bytes;
  });
}

/** Runs `fn` with the module in evaluation, and puts every part back. */
function inEvaluation<T>(model: Module, fn: () => T): T {
  const modes = model.modules().map((module) => [module, module.training] as const);
  model.eval();
  try {
    return fn();
  } finally {
    for (const [module, mode] of modes) module.training = mode;
  }
}

function axesOf(
  given: NonNullable<ExportOnnxOptions["dynamicAxes"]>,
  names: readonly string[],
  examples: readonly Tensor[],
): DynamicAxes {
  if (given === "none") return new Map();
  if (given === "batch") {
    return new Map(
      names.flatMap((name, i) => ((examples[i] as Tensor).ndim > 0 ? [[name, new Map([[0, "batch"]])]] : [])),
    );
  }
  return new Map(
    Object.entries(given).map(([name, dims]) => {
      const rank = examples[names.indexOf(name)]?.ndim;
      if (rank === undefined) throw new ValueError(`exportOnnx: dynamicAxes names "${name}", which is no input`);
      const entries = Object.entries(dims as Record<string, string>).map(([dim, size]): [number, string] => {
        if (!(Number(dim) >= 0 && Number(dim) < rank)) {
          throw new ValueError(`exportOnnx: dynamicAxes: "${name}" has no dimension ${dim}`);
        }
        return [Number(dim), size];
      });
      return [name, new Map(entries)];
    }),
  );
}

function graphOf(
  model: Module,
  { operations, inputs, outputs }: Trace,
  names: readonly string[],
  outputNames: readonly string[] | undefined,
  axes: DynamicAxes,
  opset: number,
): { proto: ModelProto; places: string[] } {
  const state = Object.entries(model.stateDict());
  const graph = new GraphBuilder(opset, (tensor) => {
    const same = ([, own]: [string, Tensor]) =>
      own.buffer === tensor.buffer &&
      own.offset === tensor.offset &&
      own.shape.join() === tensor.shape.join() &&
      own.strides.join() === tensor.strides.join();
    return state.find(same)?.[0];
  });
  /** The sizes in the examples that may differ, and their names. */
  const open = new Map<number, string>();
  const inputInfos = inputs.map((value, i) => {
    const name = graph.unique(names[i] as string);
    graph.bind(value, { name, shape: value.shape, dtype: value.dtype });
    const dynamic = axes.get(name);
    for (const [dim, size] of dynamic ?? []) open.set(value.shape[dim] as number, size);
    return info(
      name,
      value.dtype,
      value.shape.map((size, d) => dynamic?.get(d) ?? size),
    );
  });
  const given =
    outputNames ??
    outputs.map(([place]) => (place === "" ? "output" : /^\d+$/.test(place) ? `output_${place}` : place));
  if (given.length !== outputs.length) {
    throw new ValueError(`exportOnnx: ${given.length} outputNames for ${outputs.length} outputs`);
  }
  const twice = outputNames?.find((name, i) => names.includes(name) || outputNames.indexOf(name) !== i);
  if (twice !== undefined) throw new ValueError(`exportOnnx: "${twice}" names two inputs or outputs`);
  const outputTerms = given.map((name) => graph.unique(name));

  const needed = reachable(outputs.map(([, value]) => value));
  for (const operation of operations) {
    if (!needed.has(operation)) continue;
    const exporter = find(operation);
    exporter(graph, operation).forEach((term, i) => {
      if (term !== undefined) graph.bind(operation.outputs[i] as Value, term);
    });
  }
  // An output has a node of its own: the graph's result may be an input or a parameter, or the same twice.
  const outputInfos = outputs.map(([, value], i) => {
    const term: Term = graph.term(value);
    const node = graph.node("Identity", [term], value);
    const last = graph.nodes.at(-1) as (typeof graph.nodes)[number];
    last.output = [outputTerms[i] as string];
    const sizes = node.shape.map((size, d) => (open.has(size) ? (d === 0 ? (open.get(size) as string) : null) : size));
    return info(outputTerms[i] as string, node.dtype, sizes);
  });
  const proto = create(ModelProtoSchema, {
    irVersion,
    producerName: "cresset",
    opsetImport: [{ domain: "", version: BigInt(opset) }],
    graph: {
      name: model.constructor.name,
      node: graph.nodes,
      initializer: graph.initializers,
      input: inputInfos,
      output: outputInfos,
    },
  });
  return { proto, places: outputs.map(([place]) => place) };
}

const find = (operation: Operation) => {
  const { name } = operation;
  const exporter = Object.hasOwn(layers, name)
    ? layers[name]
    : Object.hasOwn(tensors, name)
      ? tensors[name]
      : undefined;
  if (exporter !== undefined) return exporter;
  const hint = name.endsWith("_") ? "; use the form that gives a new tensor" : "";
  throw new ValueError(`exportOnnx: the operation ${name} cannot be exported${hint}`);
};

/** The operations that the outputs need. */
function reachable(outputs: readonly Value[]): Set<Operation> {
  const needed = new Set<Operation>();
  const stack = [...outputs];
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    const { operation } = value;
    if (operation === null || needed.has(operation)) continue;
    needed.add(operation);
    for (const arg of operation.args.flat()) {
      if (typeof arg === "object" && arg !== null && "operation" in arg) stack.push(arg as Value);
      // Options such as clamp's may hold tensors.
      else if (typeof arg === "object" && arg !== null) refuseTensors(operation, arg);
    }
  }
  return needed;
}

function refuseTensors({ name }: Operation, options: object): void {
  if (tensorsIn(options).length > 0) {
    throw new ValueError(`exportOnnx: ${name}: a tensor among its options cannot be exported; pass it as an argument`);
  }
}

/** Name, dtype and sizes: a number, a name for one that may differ, or null for one that is left open. */
function info(name: string, dtype: DType, sizes: readonly (number | string | null)[]): ValueInfoProto {
  const dim = sizes.map((size) => {
    if (size === null) return {};
    if (typeof size === "string") return { value: { case: "dimParam" as const, value: size } };
    return { value: { case: "dimValue" as const, value: BigInt(size) } };
  });
  const value = { elemType: elementTypes[dtype], shape: { dim } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: "tensorType", value } } });
}

/** Runs module and graph on inputs that the trace has not seen, of other sizes where these may differ. */
function check(
  forward: (...inputs: Tensor[]) => unknown,
  bytes: Uint8Array,
  examples: readonly Tensor[],
  names: readonly string[],
  axes: DynamicAxes,
  places: readonly string[],
): void {
  const generator = new Generator().manualSeed(5);
  const inputs = examples.map((example, i) => {
    const dynamic = axes.get(names[i] as string);
    const index = example.shape.map((size, d) => (dynamic?.has(d) ? size + 1 : size));
    const larger = index.reduce((x, size, d) => (size === x.shape[d] ? x : grow(x, d)), example.detach());
    if (!example.isFloatingPoint()) return larger;
    return larger.add(
      rand(index, { generator, dtype: example.dtype === "float64" ? "float64" : "float32" })
        .sub(0.5)
        .to(example.dtype),
    );
  });
  const ran = noGrad(() => {
    try {
      return tensorsIn(forward(...inputs));
    } catch (error) {
      const sizes = inputs.map((input) => `(${input.shape.join(", ")})`).join(", ");
      throw new ValueError(
        `exportOnnx: forward takes the examples but not inputs of ${sizes}; say which sizes may differ in dynamicAxes`,
        { cause: error },
      );
    }
  });
  const graph = moduleOf(bytes, "the exported graph");
  let results: Tensor[];
  try {
    results = Object.values(
      noGrad(() => graph.run(Object.fromEntries(names.map((name, i) => [name, inputs[i] as Tensor])))),
    );
  } catch (error) {
    throw new ValueError(
      `exportOnnx: the graph does not run on inputs of other sizes: ${error instanceof Error ? error.message : String(error)}; ` +
        "forward has a size written into it",
      { cause: error },
    );
  }
  for (const [i, place] of places.entries()) {
    const [expected, got] = [ran[i]?.[1] as Tensor, results[i] as Tensor];
    const same = expected.shape.join() === got.shape.join() && expected.dtype === got.dtype;
    // Half precision rounds between operations, where a graph may have more or fewer of them.
    const tolerance = expected.elementSize() < 4 ? 2e-2 : 1e-4;
    if (same && got.double().allclose(expected.double(), { rtol: tolerance, atol: tolerance, equalNan: true }))
      continue;
    throw new ValueError(
      `exportOnnx: output ${place === "" ? "0" : place} of the exported graph differs from the module's on other inputs` +
        `${same ? "" : ` (${got.dtype} (${got.shape.join(", ")}) for ${expected.dtype} (${expected.shape.join(", ")}))`}; ` +
        "forward does something with values or sizes that is not an operation on tensors",
    );
  }
}

/** One more along a dimension: the last again. */
function grow(x: Tensor, dim: number): Tensor {
  const size = x.shape[dim] as number;
  if (size === 0) return x;
  const all = Array.from({ length: size + 1 }, (_, i) => Math.min(i, size - 1));
  return x.index(...x.shape.map((_, d) => (d === dim ? all : ":")));
}
