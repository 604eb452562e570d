/** onnxruntime, the reference for what an ONNX file means. */
import { type DType, fromTypedArray, type Tensor, type TypedArray } from "cresset";
import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

type Data = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | Int8Array | Int16Array;

/** Runs a file on inputs by name; gives its outputs by name. */
export async function runOnnx(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const session = await ort.InferenceSession.create(bytes, { graphOptimizationLevel: "disabled" });
  const feeds = Object.entries(inputs).map(([name, tensor]) => [
    name,
    new ort.Tensor(tensor.dtype as "float32", tensor.toTypedArray() as Float32Array, tensor.shape),
  ]);
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    session.outputNames.map((name) => {
      const { data, dims, type } = results[name] as ort.Tensor;
      return [name, fromTypedArray(data as Data as TypedArray, dims as number[], { dtype: type as DType })];
    }),
  );
}
