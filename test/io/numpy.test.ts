/** .npy and .npz: files of numpy's own, our files read again, and what is no such file. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  DataError,
  type DType,
  DTypeError,
  FormatError,
  fromTypedArray,
  full,
  readBytes,
  type Tensor,
  tensor,
  zeros,
} from "cresset";
import {
  deserializeNpy,
  deserializeNpz,
  loadNpy,
  loadNpz,
  saveNpy,
  saveNpz,
  serializeNpy,
  serializeNpz,
} from "cresset/io";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../vision/fixtures.js";
import { expectFormatErrorsOnly, fixture, fixtureBytes } from "./fixtures.js";

const kinds: [string, DType][] = [
  ["f8", "float64"],
  ["f4", "float32"],
  ["f2", "float16"],
  ["i8", "int64"],
  ["i4", "int32"],
  ["i2", "int16"],
  ["i1", "int8"],
  ["u1", "uint8"],
  ["b1", "bool"],
];

describe(".npy of numpy", () => {
  it.each(kinds)("%s is %s in either byte order", (kind, dtype) => {
    for (const order of ["le", "be"]) {
      const read = loadNpy(fixture(`${kind}${order}.npy`));
      expect([read.dtype, read.shape]).toEqual([dtype, [2, 3]]);
      const numbers = [0, 1, 2, 3, 4, 100];
      expect(Array.from(read.toTypedArray(), Number)).toEqual(dtype === "bool" ? [0, 1, 1, 1, 1, 1] : numbers);
    }
  });

  it.each(kinds)("%s comes out as numpy writes it, to the byte", (kind) => {
    expect(serializeNpy(loadNpy(fixture(`${kind}le.npy`)))).toEqual(fixtureBytes(`${kind}le.npy`));
  });

  it("in Fortran order is a strided view with the same values", () => {
    const read = loadNpy(fixture("fortran.npy"));
    expect([read.shape, read.stride()]).toEqual([
      [2, 3, 4],
      [1, 2, 6],
    ]);
    expect(Array.from(read.toTypedArray(), Number)).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  it("without dimensions, without elements, and in every version", () => {
    expect([loadNpy(fixture("scalar.npy")).shape, loadNpy(fixture("scalar.npy")).item()]).toEqual([[], 2.5]);
    expect(loadNpy(fixture("empty.npy")).shape).toEqual([2, 0, 3]);
    for (const version of [1, 2, 3]) expect(loadNpy(fixture(`version${version}.npy`)).tolist()).toEqual([0, 1, 2]);
  });

  it.each([
    ["structured", /dtype \[\('a', '<f4'\), \('b', '<i4'\)\] has no counterpart/],
    ["unsigned", /dtype '<u4' has no counterpart/],
    ["complex", /dtype '<c8' has no counterpart/],
    ["object", /dtype '\|O' has no counterpart/],
  ])("of %s elements is refused by name", (name, message) => {
    expect(() => loadNpy(fixture(`${name}.npy`))).toThrow(FormatError);
    expect(() => loadNpy(fixture(`${name}.npy`))).toThrow(message);
  });
});

describe("saveNpy", () => {
  it("writes a view as it looks, whole or not at all", () => {
    const folder = temporaryFolder();
    const path = join(folder, "deep/x.npy");
    const view = tensor([
      [1, 2],
      [3, 4],
    ]).t();
    saveNpy(view, path);
    expect(loadNpy(path).tolist()).toEqual(view.tolist());
    expect(() => saveNpy(tensor([1], { dtype: "bfloat16" }), path)).toThrow(DTypeError);
    expect(readdirSync(join(folder, "deep"))).toEqual(["x.npy"]);
    expect(loadNpy(path).tolist()).toEqual(view.tolist());
    expect(() => loadNpy(join(folder, "none.npy"))).toThrow(DataError);
  });

  it("keeps any values and shape (property)", () => {
    const array = fc.float64Array({ maxLength: 24 });
    fc.assert(
      fc.property(array, (values) => {
        const back = deserializeNpy(serializeNpy(fromTypedArray(values, [values.length, 1])));
        expect(back.toTypedArray()).toEqual(values);
      }),
    );
  });
});

describe("hostile .npy", () => {
  const withHeader = (dict: string, data: ArrayLike<number> = [], version = 1): Uint8Array => {
    const header = new TextEncoder().encode(dict);
    const bytes = new Uint8Array(10 + header.length + data.length);
    bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0, header.length & 255, header.length >> 8]);
    bytes.set(header, 10);
    bytes.set(Array.from(data), 10 + header.length);
    return bytes;
  };
  const plain = (shape: string, descr = "'|u1'") => `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(), /not an \.npy file/],
    ["something else", new TextEncoder().encode("not numpy at all"), /not an \.npy file/],
    ["a later version", withHeader("{}", [], 4), /version 4\.0/],
    ["a header beyond the file", withHeader("{}").subarray(0, 11), /ends inside its header/],
    ["no dict", withHeader("[1, 2]"), /not a dict/],
    ["a field that is missing", withHeader("{'descr': '<f4', 'shape': (), }"), /has descr, shape; expected/],
    ["a field twice", withHeader("{'shape': (), 'shape': (), }"), /says shape twice/],
    ["a field too many", withHeader(plain("()").replace("}", "'x': True}")), /has descr, .*x; expected/],
    ["code", withHeader("{'descr': __import__('os').system('ls')}"), /cannot be read at/],
    ["a negative size", withHeader(plain("(-1,)")), /cannot be read at/],
    ["sizes beyond all numbers", withHeader(plain("(9007199254740991, 2)")), /too large/],
    ["sizes that come round to nothing", withHeader(plain("(9007199254740991, 9, 0)")), /too large/],
    ["more elements than bytes", withHeader(plain("(1000000000000,)"), [1]), /takes 1000000000000 bytes; 1 are there/],
    ["bytes left over", withHeader(plain("(1,)"), [1, 2]), /takes 1 bytes; 2 are there/],
    ["a hundred dimensions", withHeader(plain(`(${"1,".repeat(100)})`), [1]), /100 dimensions/],
    ["a truth value of 2", withHeader(plain("(1,)", "'|b1'"), [2]), /neither 0 nor 1/],
  ])("%s is a FormatError", (_, bytes, message) => {
    expect(() => deserializeNpy(bytes, "f")).toThrow(FormatError);
    expect(() => deserializeNpy(bytes, "f")).toThrow(message);
  });

  it("cut or changed anywhere gives a FormatError or other values (property)", async () => {
    const good = fixtureBytes("f4le.npy");
    for (let length = 0; length < good.length; length++)
      expect(() => deserializeNpy(good.subarray(0, length))).toThrow(FormatError);
    await expectFormatErrorsOnly(good, (bytes) => deserializeNpy(bytes));
  });
});

describe(".npz", () => {
  it("of numpy, stored and deflated, is read", async () => {
    const stored = await loadNpz(fixture("stored.npz"));
    expect(Object.keys(stored)).toEqual(["x", "y"]);
    expect([stored.x?.tolist(), stored.y?.tolist()]).toEqual([
      [0, 1, 2, 3, 4],
      [[true], [false]],
    ]);
    const deflated = await loadNpz(fixture("deflated.npz"));
    expect([deflated.x?.shape, deflated.x?.sum().item()]).toEqual([[100, 100], 0]);
    expect(deflated.층?.toTypedArray()).toEqual(new BigInt64Array([0n, 1n, 2n]));
  });

  it.each([false, true])("keeps names and values, packed: %s", async (compress) => {
    const folder = temporaryFolder();
    const tensors: Record<string, Tensor> = {
      "layer.0.weight": tensor([[1, 2, 3]]),
      none: zeros([0, 3]),
      "한/글": tensor(7, { dtype: "int16" }),
      big: full([3, 500_000], 1.5),
    };
    await saveNpz(tensors, join(folder, "a/b.npz"), { compress });
    expect(readdirSync(join(folder, "a"))).toEqual(["b.npz"]);
    for (const back of [await loadNpz(join(folder, "a/b.npz")), await deserializeNpz(await serializeNpz(tensors))]) {
      expect(Object.keys(back)).toEqual(Object.keys(tensors));
      for (const [name, before] of Object.entries(tensors)) {
        expect([back[name]?.dtype, back[name]?.shape]).toEqual([before.dtype, before.shape]);
        expect(Buffer.compare(readBytes(back[name] as Tensor), readBytes(before))).toBe(0);
      }
    }
    const again = await serializeNpz(tensors, { compress });
    expect(Buffer.compare(again, readFileSync(join(folder, "a/b.npz")))).toBe(0);
  });

  it("stays as it was when writing fails", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "x.npz");
    await saveNpz({ x: tensor(1) }, path);
    const broken = { dtype: "float32", shape: [2], numel: () => 2 } as unknown as Tensor;
    await expect(saveNpz({ x: tensor(2), broken }, path)).rejects.toThrow();
    await expect(saveNpz({ x: tensor(2, { dtype: "bfloat16" }) }, path)).rejects.toThrow(DTypeError);
    expect(readdirSync(folder)).toEqual(["x.npz"]);
    expect((await loadNpz(path)).x?.item()).toBe(1);
  });

  it("that is none, is a bomb or lies is a FormatError", async () => {
    await expect(deserializeNpz(new Uint8Array(100))).rejects.toThrow(FormatError);
    await expect(loadNpz("/nowhere/x.npz")).rejects.toThrow(DataError);
    const zerosPacked = await serializeNpz({ x: zeros([2_000_000]) }, { compress: true });
    expect(zerosPacked.length).toBeLessThan(20_000);
    await expect(deserializeNpz(zerosPacked, { maxBytes: 1_000_000 })).rejects.toThrow(
      /unpacks to more than 1000000 bytes; raise maxBytes/,
    );
    // The size in the directory raised beyond what deflate can do.
    const lying = Uint8Array.from(zerosPacked);
    const view = new DataView(lying.buffer);
    const directory = lying.length - 22 - (46 + 5);
    expect(view.getUint32(directory, true)).toBe(0x02014b50);
    view.setUint32(directory + 24, 500_000_000, true);
    await expect(deserializeNpz(lying)).rejects.toThrow(/cannot unpack from \d+ to 500000000 bytes/);
  });

  it("with entries that overlap is refused", async () => {
    const bytes = await serializeNpz({ a: tensor([1]), b: tensor([2]) });
    const view = new DataView(bytes.buffer);
    const second = bytes.length - 22 - (46 + 5);
    view.setUint32(second + 42, 0, true); // b's place is a's
    await expect(deserializeNpz(bytes)).rejects.toThrow(FormatError);
  });

  it("cut or changed anywhere gives a FormatError or other values (property)", async () => {
    for (const name of ["stored.npz", "deflated.npz"]) {
      await expectFormatErrorsOnly(fixtureBytes(name), (bytes) => deserializeNpz(bytes));
    }
  });
});

it("a file that is written is the file that numpy would read", () => {
  const folder = temporaryFolder();
  const path = join(folder, "x.npy");
  writeFileSync(path, serializeNpy(tensor([1, 2, 3])));
  expect(readFileSync(path).subarray(10, 128).toString()).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(3,\), \} *\n$/,
  );
});
