/** torch.save and torch.load: PyTorch's own files, ours read again, and files that are no data. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as torch from "cresset";
import { DataError, FormatError, nn, type Tensor, ValueError } from "cresset";
import { saveFile, saveNpy, saveNpz } from "cresset/io";
import { describe, expect, it } from "vitest";
import { unpickle } from "../../src/io/pickle-reader.js";
import { temporaryFolder } from "../vision/fixtures.js";
import { expectFormatErrorsOnly, fixture, fixtureBytes } from "./fixtures.js";

type Named = Record<string, Tensor>;
const dtypes = [
  "float64",
  "float32",
  "float16",
  "bfloat16",
  "int64",
  "int32",
  "int16",
  "int8",
  "uint8",
  "bool",
] as const satisfies torch.DType[];

describe("files of PyTorch", () => {
  it("give their values", async () => {
    const { many, ...values } = await torch.load<Record<string, unknown>>(fixture("values.pt"));
    expect(values).toEqual({
      none: null,
      true: true,
      false: false,
      one: 1,
      negative: -70000,
      large: 2 ** 40,
      huge: 2n ** 70n,
      half: 0.5,
      nan: Number.NaN,
      text: "한글",
      bytes: new Uint8Array([0, 255]),
      list: [1, [2, []]],
      tuple: [1, [], [2, 3], [4, 5, 6]],
      nested: { a: { b: {} } },
      numbers: new Map<number, unknown>([
        [0, "zero"],
        [1, { x: 1.5 }],
      ]),
      ordered: { b: 1, a: 2 },
      set: new Set([1, 2]),
      size: [2, 3],
      device: "cuda:1",
      dtype: "float16",
    });
    expect(Object.keys(values.ordered as object)).toEqual(["b", "a"]);
    expect(many).toEqual(Array.from({ length: 2500 }, (_, i) => i));
  });

  it("give every dtype", async () => {
    const tensors = await torch.load<Named>(fixture("dtypes.pt"));
    expect(Object.keys(tensors)).toEqual(dtypes);
    for (const dtype of dtypes) {
      expect(tensors[dtype]?.dtype).toBe(dtype);
      expect(tensors[dtype]?.tolist()).toEqual(dtype === "bool" ? [false, true, true] : [0, 1, 2]);
    }
  });

  it("keep views strided and storages shared", async () => {
    const t = await torch.load<Named & { lists: unknown[] }>(fixture("views.pt"));
    expect([t.transposed?.shape, t.transposed?.stride()]).toEqual([
      [4, 3],
      [1, 4],
    ]);
    expect([t.every?.stride(), t.every?.storageOffset(), t.every?.tolist()]).toEqual([
      [8, 2],
      1,
      [
        [1, 3],
        [9, 11],
      ],
    ]);
    expect([t.expanded?.stride(), t.expanded?.sum().item()]).toEqual([[0, 0], 30]);
    t.base?.select(0, 1).fill_(7);
    expect(t.row?.tolist()).toEqual([7, 7, 7, 7]);
    expect(t.column?.tolist()).toEqual([2, 7, 10]);
    expect(t.same).toBe(t.base);
    expect(t.lists[0]).toBe(t.lists[1]);
    expect([t.scalar?.shape, t.scalar?.item(), t.empty?.shape]).toEqual([[], 3.5, [0, 3]]);
    expect([t.parameter, t.frozen].map((p) => [p instanceof nn.Parameter, p?.requiresGrad])).toEqual([
      [true, true],
      [true, false],
    ]);
    expect([t.leaf instanceof nn.Parameter, t.leaf?.requiresGrad, t.row?.requiresGrad]).toEqual([false, true, false]);
  });

  it.each([
    ["module", /torch\.nn\.modules\.linear\.Linear is none of the classes that are read/],
    ["complex", /torch\.ComplexFloatStorage is none of the classes/],
    ["negative", /the tensor's neg is not read; save a clone of it/],
    ["sparse", /torch\._utils\._rebuild_sparse_tensor is none of the classes/],
    ["uint16", /torch\._utils\._rebuild_tensor_v3 is none of the classes/],
    ["legacy", /a bare pickle, such as PyTorch wrote before 1\.6/],
    ["protocol4", /protocol 4; torch\.save writes 2/],
    ["script", /a TorchScript program/],
    ["evil", /posix\.system is none of the classes that are read; nothing of it was loaded or run/],
  ])("that hold something else (%s) are refused by name", async (name, message) => {
    const read = torch.load(fixture(`${name}.pt`));
    await expect(read).rejects.toThrow(FormatError);
    await expect(read).rejects.toThrow(message);
    expect(existsSync("/tmp/cresset-was-here")).toBe(false);
  });
});

describe("torch.save", () => {
  const values = {
    text: 'a"b\n한',
    numbers: [0, 255, 256, 65535, 65536, -1, 2 ** 31, -(2 ** 31), 2 ** 53, -0, 0.1, Infinity, Number.NaN],
    big: [2n ** 70n, -(2n ** 70n), -129n],
    flags: [true, false, null],
    map: new Map<unknown, unknown>([
      [0, "zero"],
      ["one", new Map([[true, 1]])],
    ]),
    set: new Set(["a", 2]),
    bytes: Uint8Array.from({ length: 256 }, (_, i) => i),
    "collections\nOrderedDict\n": "collections\nOrderedDict\n",
    __proto: { deep: { deeper: [] } },
    many: Array.from({ length: 2500 }, (_, i) => String(i)),
  };

  it("keeps values", async () => {
    const path = join(temporaryFolder(), "new/folder/x.pt");
    await torch.save(values, path);
    const { big, ...rest } = await torch.load<typeof values>(path);
    expect(rest).toEqual({ ...values, big: undefined });
    expect(big).toEqual([2n ** 70n, -(2n ** 70n), -129]);
    expect(readdirSync(join(path, ".."))).toEqual(["x.pt"]);
  });

  it("keeps tensors of every dtype, views, parameters and what is shared", async () => {
    const path = join(temporaryFolder(), "x.pt");
    const base = torch.arange(12).reshape(3, 4).float();
    const ring: { name: string; self?: unknown; list: unknown[] } = { name: "ring", list: [] };
    ring.self = ring;
    ring.list.push(ring.list);
    const dtyped = Object.fromEntries(dtypes.map((dtype) => [dtype, torch.tensor([0, 1, 2], { dtype })]));
    const weight = new nn.Parameter(torch.ones([2]), false);
    await torch.save(
      {
        base,
        view: base.t(),
        row: base.select(0, 1),
        ...dtyped,
        weight,
        scalar: torch.tensor(3.5),
        none: torch.zeros([0, 3]),
        ring,
      },
      path,
    );
    const back = await torch.load<Named & { ring: typeof ring }>(path);
    for (const dtype of dtypes) {
      expect(back[dtype]?.dtype).toBe(dtype);
      expect(back[dtype]?.tolist()).toEqual(dtyped[dtype]?.tolist());
    }
    expect(back.view?.stride()).toEqual([1, 4]);
    back.base?.fill_(1);
    expect([back.row?.tolist(), back.view?.sum().item()]).toEqual([[1, 1, 1, 1], 12]);
    expect([back.weight instanceof nn.Parameter, back.weight?.requiresGrad]).toEqual([true, false]);
    expect([back.scalar?.item(), back.none?.shape]).toEqual([3.5, [0, 3]]);
    expect(back.ring.self).toBe(back.ring);
    expect(back.ring.list[0]).toBe(back.ring.list);
  });

  it("writes into a stream, and what was written is read from memory", async () => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const stream = new WritableStream<Uint8Array>({ write: (piece) => void pieces.push(Uint8Array.from(piece)) });
    await torch.save({ x: torch.full([1_500_000], 2), n: 1 }, stream);
    const bytes = await new Blob(pieces).arrayBuffer();
    for (const source of [bytes, new Uint8Array(bytes)]) {
      const { x, n } = await torch.load<{ x: Tensor; n: number }>(source, { mapLocation: "cpu" });
      expect([x.sum().item(), n]).toEqual([3_000_000, 1]);
    }
  });

  it("names what no file holds, and leaves the old file", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "x.pt");
    await torch.save(1, path);
    const refused: [unknown, RegExp][] = [
      [{ a: { model: new nn.Linear(1, 1) } }, /the value\.a\.model is a Linear; save its stateDict\(\)/],
      [[() => 1], /the value\[0\] is a function/],
      [{ x: new Float32Array(2) }, /the value\.x is a Float32Array; make it a tensor/],
      [{ when: new Date() }, /the value\.when is a Date, an object of a class/],
      [new Map([[{}, 1]]), /the value has a key or member that is a object/],
      [Array.from({ length: 600 }).reduce((inner) => [inner], 0), /more than 500 deep/],
    ];
    for (const [value, message] of refused) {
      await expect(torch.save(value, path)).rejects.toThrow(ValueError);
      await expect(torch.save(value, path)).rejects.toThrow(message);
    }
    const broken = { dtype: "float32" };
    Object.setPrototypeOf(broken, torch.Tensor.prototype);
    await expect(torch.save(broken, path)).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(["x.pt"]);
    expect(await torch.load(path)).toBe(1);
    writeFileSync(join(folder, "file"), "");
    await expect(torch.save(1, join(folder, "file/x.pt"))).rejects.toThrow(/cannot write/);
  });
});

describe("torch.load", () => {
  it("knows the other formats by their content", async () => {
    const folder = temporaryFolder();
    const x = torch.tensor([1, 2]);
    saveFile({ x }, join(folder, "a"));
    saveNpy(x, join(folder, "b"));
    await saveNpz({ x }, join(folder, "c"));
    await torch.save({ x }, join(folder, "d"));
    for (const name of ["a", "c", "d"]) {
      expect((await torch.load<Named>(join(folder, name))).x?.tolist()).toEqual([1, 2]);
    }
    expect((await torch.load<Tensor>(join(folder, "b"))).tolist()).toEqual([1, 2]);
  });

  it("refuses what is none of them", async () => {
    await expect(torch.load(new Uint8Array())).rejects.toThrow(/none of the formats that are read/);
    await expect(torch.load(new TextEncoder().encode("hello, hello, hello"))).rejects.toThrow(FormatError);
    await expect(torch.load("/nowhere/x.pt")).rejects.toThrow(DataError);
  });
});

describe("hostile .pt", () => {
  const run = (...bytes: (number | string)[]) => {
    const flat = bytes.flatMap((b) => (typeof b === "number" ? [b] : [...new TextEncoder().encode(b)]));
    return unpickle(Uint8Array.from(flat), "f", { known: () => null, persistent: () => null });
  };

  it.each<[string, (number | string)[], RegExp]>([
    ["nothing", [], /ends inside an instruction/],
    ["no end", [0x80, 2], /ends inside/],
    ["an empty stack", ["."], /takes from an empty stack/],
    ["two values", ["NN."], /leaves more than one value/],
    ["a mark left open", ["(N."], /leaves more than one value/],
    ["a mark never made", ["t."], /a mark that was not made/],
    ["a string beyond the end", ["X", 255, 255, 255, 255, "a"], /ends inside an instruction/],
    ["a string that is not UTF-8", ["X", 1, 0, 0, 0, 0xff, "."], /not UTF-8/],
    ["a number beyond the end", ["G", 0, 0], /ends inside/],
    ["a memo that is empty", ["h", 5, "."], /recalls 5, which was not kept/],
    ["an item of no dict", ["]NNs."], /sets an item of what is no dict/],
    ["a key without a value", ["}(Nu."], /a key has no value/],
    ["an append to a tuple", [")Na."], /appends to what is no list/],
    ["a class without an end", ["cos", "system"], /names a class without an end/],
    ["a call of a number", ["K", 1, ")R."], /calls what is no class/],
    ["arguments of no tuple", ["N]R."], /arguments are no tuple/],
    ["attributes of a list", ["]}b."], /sets attributes of what is no OrderedDict/],
    ["a persistent id of text", ["U", 1, "aQ."], /a persistent id is no tuple/],
    ["INST, which imports", ["(ios\nsystem\n."], /the instruction INST \(0x69\) is none of those/],
    ["STACK_GLOBAL", [0x93], /STACK_GLOBAL \(0x93\)/],
    ["DUP", ["N2."], /DUP \(0x32\)/],
    ["no instruction at all", [0xff], /unknown \(0xff\)/],
  ])("%s is a FormatError", (_, bytes, message) => {
    expect(() => run(...bytes)).toThrow(FormatError);
    expect(() => run(...bytes)).toThrow(message);
  });

  it("an archive that unpacks to more than is allowed is refused before it does", async () => {
    const read = torch.load(fixtureBytes("views.pt"), { maxBytes: 100 });
    await expect(read).rejects.toThrow(/unpacks to more than 100 bytes/);
  });

  it("nesting without end is refused, not a crash", async () => {
    const deep = new Uint8Array(400_002).fill(0x5d, 0, 200_001).fill(0x61, 200_001);
    deep[400_001] = 0x2e;
    expect(() => unpickle(deep, "f", { known: () => null, persistent: () => null })).not.toThrow();
    // In a file the values are turned into JavaScript's, which counts how deep they lie.
    await expect(torch.load(await archiveOf(deep))).rejects.toThrow(/more than 1000 deep/);
  });

  it("what is shared a billion times is read once", async () => {
    // x0 = []; x(i+1) = (x(i), x(i)): 2^60 places, 61 objects
    const bytes = [0x5d, 0x71, 0, ...Array.from({ length: 60 }, (_, i) => [0x68, i, 0x86, 0x71, i + 1]).flat(), 0x2e];
    const value = await torch.load<unknown[][]>(await archiveOf(Uint8Array.from(bytes)));
    expect(value[0]).toBe(value[1]);
  });

  it("a tensor that leaves its storage, or a storage that is not there, is refused", async () => {
    const pickle = pickleOf(fixtureBytes("views.pt"));
    // The storage of base has 12 elements: K\x0c at the end of its id.
    const place = Buffer.from(pickle).indexOf(Uint8Array.from([0x4b, 12, 0x74]));
    expect(place).toBeGreaterThan(0);
    pickle[place + 1] = 3;
    await expect(torch.load(await archiveOf(pickle))).rejects.toThrow(/leaves its 3 elements/);
    pickle[place + 1] = 13;
    await expect(torch.load(await archiveOf(pickle))).rejects.toThrow(/storage "0" is described in two ways/);
    pickle[place + 1] = 12;
    await expect(torch.load(await archiveOf(pickle))).rejects.toThrow(
      /storage "0" of 12 float32 takes 48 bytes; the archive has none of that name/,
    );
  });

  it.each(["views.pt", "values.pt", "trained-adam.pt"])(
    "%s cut or changed anywhere gives a FormatError or other values (property)",
    async (name) => {
      await expectFormatErrorsOnly(fixtureBytes(name), (bytes) => torch.load(bytes));
      // Past the checksums, into the pickle itself.
      await expectFormatErrorsOnly(pickleOf(fixtureBytes(name)), async (pickle) => torch.load(await archiveOf(pickle)));
    },
    60_000,
  );
});

/** The first entry of a stored archive. */
function pickleOf(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const end = bytes.length - 22;
  const directory = view.getUint32(end + 16, true);
  const start = 30 + view.getUint16(26, true) + view.getUint16(28, true);
  return bytes.slice(start, start + view.getUint32(directory + 24, true));
}

/** An archive around a pickle, and around nothing else. */
async function archiveOf(pickle: Uint8Array): Promise<Uint8Array> {
  const { writeArchive } = await import("../../src/io/archive.js");
  const pieces: Uint8Array[] = [];
  await writeArchive([{ name: "archive/data.pkl", size: pickle.length, chunks: () => [pickle] }], (piece) => {
    pieces.push(Uint8Array.from(piece));
  });
  return Buffer.concat(pieces);
}
