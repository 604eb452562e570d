/** safetensors: what is written is read again, to the bit and by others; what the format forbids is refused. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataError, type DType, FormatError, fromTypedArray, ones, type Tensor, tensor } from "cresset";
import { deserialize, loadFile, loadMetadata, saveFile, serialize } from "cresset/io";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";

/** A file put together as the format's description says, independent of the writer. */
function file(header: unknown, data: ArrayLike<number> = [], length?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  bytes.set(json, 8);
  bytes.set(Array.from(data), 8 + json.length);
  return bytes;
}

const headerOf = (bytes: Uint8Array) => {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return {
    length,
    json: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
      string,
      { data_offsets: [number, number] }
    >,
  };
};

const every: Record<DType, Tensor> = {
  float64: fromTypedArray(new Float64Array([1.5, -0, Number.NaN, Infinity]), [2, 2]),
  float32: fromTypedArray(new Float32Array([1.5, -2, 3]), [3]),
  float16: tensor([1, 65504], { dtype: "float16" }),
  bfloat16: tensor([[1, -Infinity]], { dtype: "bfloat16" }),
  int64: fromTypedArray(new BigInt64Array([2n ** 62n, -1n]), [2]),
  int32: fromTypedArray(new Int32Array([2 ** 31 - 1, -(2 ** 31)]), [2]),
  int16: fromTypedArray(new Int16Array([32767, -32768]), [2]),
  int8: fromTypedArray(new Int8Array([127, -128, 5]), [3]),
  uint8: fromTypedArray(new Uint8Array([0, 255, 7]), [3, 1]),
  bool: fromTypedArray(new Uint8Array([1, 0, 1]), [3], { dtype: "bool" }),
};

describe("serialize and deserialize", () => {
  it("keep every dtype to the bit", () => {
    const back = deserialize(serialize(every));
    expect(Object.keys(back).toSorted()).toEqual(Object.keys(every).toSorted());
    for (const [name, before] of Object.entries(every)) {
      const after = back[name] as Tensor;
      expect([after.dtype, after.shape]).toEqual([before.dtype, before.shape]);
      expect(after.toTypedArray()).toEqual(before.toTypedArray());
    }
  });

  it("keep scalars and tensors of nothing", () => {
    const back = deserialize(
      serialize({
        scalar: tensor(3.5),
        none: fromTypedArray(new Float32Array(0), [2, 0]),
        alsoNone: fromTypedArray(new Int8Array(0), [0]),
      }),
    );
    expect([back.scalar?.shape, back.scalar?.item()]).toEqual([[], 3.5]);
    expect(back.none?.shape).toEqual([2, 0]);
    expect(back.alsoNone?.dtype).toBe("int8");
    expect(Object.keys(deserialize(serialize({})))).toEqual([]);
  });

  it("align every tensor and the data, and are the same whatever the order of names", () => {
    const bytes = serialize(every);
    const { length, json } = headerOf(bytes);
    expect(length % 8).toBe(0);
    for (const [name, { data_offsets }] of Object.entries(json)) {
      const width = every[name as DType].elementSize();
      expect(data_offsets[0] % width).toBe(0);
    }
    expect(serialize(Object.fromEntries(Object.entries(every).reverse()))).toEqual(bytes);
  });

  it("take any names and do not confuse them with an object's own", () => {
    const names = ["__proto__", "constructor", "toString", "7", 'a"b\\{:}', "층.가중치", ""];
    const tensors = Object.fromEntries(names.map((name, i) => [name, tensor(i)]));
    const back = deserialize(serialize(tensors));
    expect(Object.keys(back).toSorted()).toEqual(names.toSorted());
    names.forEach((name, i) => void expect(back[name]?.item()).toBe(i));
    expect(({} as { item?: unknown }).item).toBeUndefined();
    expect(() => serialize({ __metadata__: tensor(1) })).toThrow(/cannot name a tensor/);
  });

  it("round any tensors trip (property)", () => {
    const name = fc.string({ maxLength: 8 }).filter((text) => text !== "__metadata__");
    fc.assert(
      fc.property(fc.dictionary(name, fc.float32Array({ maxLength: 9, noNaN: true })), (arrays) => {
        const back = deserialize(
          serialize(
            Object.fromEntries(
              Object.entries(arrays).map(([key, array]) => [key, fromTypedArray(array, [array.length])]),
            ),
          ),
        );
        expect(Object.keys(back).length).toBe(Object.keys(arrays).length);
        for (const [key, array] of Object.entries(arrays)) expect(back[key]?.toTypedArray()).toEqual(array);
      }),
    );
  });

  it("read a file as Python's safetensors writes it", () => {
    // safetensors.numpy.save({"b": float32 [[1, 2], [3, 4]], "a": int64 [5]}, metadata={"format": "np"}), by hand
    const header =
      '{"__metadata__":{"format":"np"},"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}   ';
    const data = [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40];
    const back = deserialize(file(header, data));
    expect(back.b?.tolist()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(back.a?.toTypedArray()).toEqual(new BigInt64Array([5n]));
  });
});

describe("hostile files", () => {
  const f32 = (shape: unknown, begin: unknown, end: unknown, dtype: unknown = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const cases: [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(), /0 bytes; a safetensors file has at least 8/],
    ["a header beyond the file", file("{}", [], 1000), /a header of 1000 bytes in a file of 10/],
    ["a header beyond the limit", file("{}", [], 100_000_001), /at most 100000000 are allowed/],
    [
      "a header beyond all numbers",
      new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 123, 125]),
      /at most 100000000/,
    ],
    ["no JSON", file("{nonsense"), /not JSON/],
    ["another JSON", file("[]"), /does not begin with \{/],
    ["white space first", file(" {}"), /does not begin with \{/],
    ["no UTF-8", new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d]), /not UTF-8/],
    ["deep nesting", file(`{"a":${"[".repeat(200_000)}`), /not JSON/],
    [
      "a name twice",
      file(
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        [1],
      ),
      /names a tensor twice/,
    ],
    ["an entry that is none", file({ a: 1 }), /tensor "a": its entry is not an object/],
    ["metadata that is none", file({ __metadata__: [1] }), /__metadata__ is not an object/],
    ["metadata that is no text", file({ __metadata__: { a: 1 } }), /metadata "a" is not a string/],
    ["no dtype", file({ a: { shape: [], data_offsets: [0, 0] } }), /no dtype/],
    ["an unknown dtype", file({ a: f32([1], 0, 4, "F8_E4M3") }, [0, 0, 0, 0]), /dtype "F8_E4M3" is not one of/],
    ["a negative size", file({ a: f32([-1], 0, 4) }, [0, 0, 0, 0]), /shape is not a list of whole numbers/],
    ["a fractional size", file({ a: f32([0.5], 0, 4) }, [0, 0, 0, 0]), /shape is not a list/],
    ["a shape that is none", file({ a: f32("1", 0, 4) }, [0, 0, 0, 0]), /shape is not a list/],
    ["sizes beyond all numbers", file({ a: f32([2 ** 40, 2 ** 40], 0, 4) }, [0, 0, 0, 0]), /too large/],
    ["sizes that come round to nothing", file({ a: f32([2 ** 40, 2 ** 40, 0], 0, 0) }), /too large/],
    ["offsets the wrong way round", file({ a: f32([1], 4, 0) }, [0, 0, 0, 0]), /data_offsets \[4, 0\]/],
    ["offsets beyond the data", file({ a: f32([2], 0, 8) }, [0, 0, 0, 0]), /data_offsets \[0, 8\] in 4 bytes/],
    [
      "three offsets",
      file({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 8] } }, [0, 0, 0, 0]),
      /not two whole numbers/,
    ],
    [
      "a size that disagrees",
      file({ a: f32([2], 0, 4) }, [0, 0, 0, 0]),
      /shape \(2\) of F32 takes 8 bytes; data_offsets give 4/,
    ],
    [
      "tensors that overlap",
      file({ a: f32([1], 0, 4), b: f32([1], 0, 4) }, [0, 0, 0, 0]),
      /tensor "b" begins at 0; the one before ends at 4/,
    ],
    ["a hole before", file({ a: f32([1], 4, 8) }, [0, 0, 0, 0, 0, 0, 0, 0]), /begins at 4; the one before ends at 0/],
    ["a hole between", file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, new Uint8Array(12)), /"b" begins at 8/],
    ["bytes left over", file({ a: f32([1], 0, 4) }, [0, 0, 0, 0, 9]), /cover 4 bytes of data; the file holds 5/],
    ["a truth value of 2", file({ a: f32([1], 0, 1, "BOOL") }, [2]), /tensor "a": a truth value is neither 0 nor 1/],
  ];

  it.each(cases)("refuses %s, in memory and on disk", (_, bytes, message) => {
    expect(() => deserialize(bytes, "f")).toThrow(FormatError);
    expect(() => deserialize(bytes, "f")).toThrow(message);
    const path = join(temporaryFolder(), "f.safetensors");
    writeFileSync(path, bytes);
    expect(() => loadFile(path)).toThrow(message);
  });

  it("answers every truncation and any flipped byte with a FormatError or other values, never another error", () => {
    const good = serialize({ weight: ones([2, 3]), bias: tensor([1, 2]) }, { model: "m" });
    for (let length = 0; length < good.length; length++)
      expect(() => deserialize(good.subarray(0, length))).toThrow(FormatError);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (place, change) => {
        const bytes = Uint8Array.from(good);
        bytes[place] = (bytes[place] as number) ^ change;
        try {
          deserialize(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("files", () => {
  it("are written whole, with metadata, and nothing beside them", () => {
    const folder = temporaryFolder();
    const path = join(folder, "deep/er/w.safetensors");
    saveFile(every, path, { model: "refined", 한: "글" });
    expect(readdirSync(join(folder, "deep/er"))).toEqual(["w.safetensors"]);
    expect(new Uint8Array(readFileSync(path))).toEqual(serialize(every, { model: "refined", 한: "글" }));
    expect({ ...loadMetadata(path) }).toEqual({ model: "refined", 한: "글" });
    expect(loadFile(path).int16?.tolist()).toEqual([32767, -32768]);
  });

  it("stay as they were when writing fails", () => {
    const folder = temporaryFolder();
    const path = join(folder, "w.safetensors");
    saveFile({ a: tensor(1) }, path);
    // Half a tensor: what a device lost on the way would give.
    const broken = { dtype: "float32", shape: [] } as unknown as Tensor;
    expect(() => saveFile({ a: tensor(2), b: broken }, path)).toThrow();
    expect(readdirSync(folder)).toEqual(["w.safetensors"]);
    expect(loadFile(path).a?.item()).toBe(1);
  });

  it("that are absent are a DataError", () => {
    expect(() => loadFile("/nowhere/w.safetensors")).toThrow(DataError);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    expect(() => saveFile({ a: tensor(1) }, join(folder, "file/w"))).toThrow(/cannot write/);
  });
});
