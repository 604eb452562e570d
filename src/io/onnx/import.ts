/**
 * Reads ONNX files. Everything a node says is checked when the file is opened as far as it can be: its operation is known, what
 * it reads is there before it. Running the nodes is the work of `module.ts` and `import-ops.ts`.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { readFile } from "#files";
import { FormatError } from "../../errors.js";
import type { Tensor } from "../../tensor/index.js";
import { dtypeOfElement, fromProto } from "./format.js";
import { operations } from "./import-ops.js";
import { OnnxModule, type Step } from "./module.js";
import { type AttributeProto, type ModelProto, ModelProtoSchema, type NodeProto } from "./onnx_pb.js";

/** A protocol buffer has at most so many bytes. */
const maxFileBytes = 2 ** 31;

export function readOnnx(path: string): OnnxModule {
  return moduleOf(readFile(path, maxFileBytes), path);
}

export function moduleOf(bytes: Uint8Array, name: string): OnnxModule {
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}`);
  };
  const { graph, opsetImport } = parse(bytes, name);
  if (graph === undefined || graph.node.length === 0) return fail("not an ONNX model: it has no graph");
  const opset = Number(opsetImport.find(({ domain }) => domain === "" || domain === "ai.onnx")?.version ?? 0);
  if (!(opset >= 7)) return fail(`opset ${opset}; from 7 on are read`);

  const constants = new Map<string, Tensor>();
  for (const proto of graph.initializer) {
    if (proto.name === "" || constants.has(proto.name))
      return fail(`two initializers named ${JSON.stringify(proto.name)}`);
    constants.set(proto.name, fromProto(proto, `${name}: initializer ${JSON.stringify(proto.name)}`));
  }
  const known = new Set(constants.keys());
  // Before version 4 of the format initializers were listed among the inputs, too.
  const inputs = graph.input
    .filter((input) => !constants.has(input.name))
    .map((input) => {
      const type = input.type?.value;
      if (type?.case !== "tensorType") return fail(`input ${JSON.stringify(input.name)} is no tensor`);
      known.add(input.name);
      return {
        name: input.name,
        dtype: dtypeOfElement(type.value.elemType, `${name}: input ${JSON.stringify(input.name)}`),
      };
    });
  const steps = graph.node.map((node): Step => {
    const step = stepOf(node, name);
    for (const input of step.inputs) {
      if (input !== "" && !known.has(input))
        return fail(`${step.label} reads ${JSON.stringify(input)}, which is not there yet`);
    }
    for (const output of step.outputs) {
      if (output === "") continue;
      if (known.has(output)) return fail(`${step.label} gives ${JSON.stringify(output)} a second time`);
      known.add(output);
    }
    return step;
  });
  const outputs = graph.output.map(({ name: output }) =>
    known.has(output) ? output : fail(`output ${JSON.stringify(output)} is given by no node`),
  );
  if (outputs.length === 0) return fail("the graph has no output");
  const statistics = graph.node
    .filter(({ opType }) => opType === "BatchNormalization")
    .flatMap(({ input }) => input.slice(3));
  return new OnnxModule(graph.name, opset, inputs, outputs, steps, constants, new Set(statistics));
}

function parse(bytes: Uint8Array, name: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`${name}: not an ONNX model: ${reason}`, { cause: error });
  }
}

function stepOf({ opType, name: nodeName, domain, input, output, attribute }: NodeProto, file: string): Step {
  const label = `${opType}${nodeName === "" ? "" : ` ${JSON.stringify(nodeName.slice(0, 60))}`}`;
  const ours = domain === "" || domain === "ai.onnx";
  const run = ours && Object.hasOwn(operations, opType) ? operations[opType] : undefined;
  if (run === undefined) {
    throw new FormatError(`${file}: the operation ${ours ? "" : `${domain}.`}${opType} is not here`);
  }
  const attributes = new Map(attribute.map((held) => [held.name, contentOf(held, `${file}: ${label}`)]));
  return { label, run, inputs: input, outputs: output, attributes };
}

/** FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS of AttributeProto.AttributeType. Others have no use here. */
function contentOf(held: AttributeProto, where: string): unknown {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  switch (held.type) {
    case 1:
      return held.f;
    case 2:
      return Number(held.i);
    case 3:
      return text(held.s);
    case 4:
      return held.t === undefined ? undefined : fromProto(held.t, `${where}: ${held.name}`);
    case 6:
      return [...held.floats];
    case 7:
      return held.ints.map(Number);
    case 8:
      return held.strings.map(text);
    default:
      throw new FormatError(
        `${where}: the attribute ${JSON.stringify(held.name)} is of a type that is not read (${held.type})`,
      );
  }
}
