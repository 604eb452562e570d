/** What callers without types hand over by mistake: every answer is a result or an error of the family, which says what came. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as torch from "cresset";
import * as data from "cresset/data";
import * as io from "cresset/io";
import * as plot from "cresset/plot";
import * as vision from "cresset/vision";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "cresset-arguments-"));
beforeAll(() => {
  vi.spyOn(console, "log").mockImplementation(() => undefined); // plot.display prints what is no figure
});
afterAll(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const mistakes: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  "a number": 3,
  NaN: Number.NaN,
  infinity: Number.POSITIVE_INFINITY,
  "a truth value": true,
  "a bigint": 3n,
  text: join(folder, "x"),
  "an empty list": [],
  "a ragged list": [[1, 2], [3]],
  "a list of lists": [
    [1, 2],
    [3, 4],
  ],
  "a list of texts": ["a"],
  "a list of undefined": [undefined],
  "a list of objects": [{}],
  "an empty tensor": torch.zeros([0]),
  "a tensor of one number": torch.tensor(1),
  "a tensor of five dimensions": torch.zeros([1, 1, 1, 1, 1]),
  "a tensor of NaN": torch.full([3], Number.NaN),
  "an image without channels": torch.zeros([0, 4, 4]),
  "an image without pixels": torch.zeros([3, 0, 4]),
  "an object": {},
  "a function": () => 1,
  "a date": new Date(0),
  "a promise": Promise.resolve(1),
};

type Call = (...args: unknown[]) => unknown;
/** Started in a thread, or the library's own object. */
const apart = new Set(["serveDataset", "getWorkerInfo", "duckdb"]);

function calls(module: Readonly<Record<string, unknown>>): [string, Call][] {
  return Object.entries(module).flatMap(([name, value]): [string, Call][] => {
    if (typeof value !== "function" || apart.has(name)) return [];
    const isClass = /^class/.test(Function.prototype.toString.call(value));
    const make = value as unknown as new (...args: unknown[]) => unknown;
    return [[name, isClass ? (...args) => new make(...args) : (value as Call)]];
  });
}

/** Draws what is a figure: mistakes must not come out then. */
async function settle(given: unknown): Promise<void> {
  const value = (await given) as { svg?: (options?: object) => Promise<string> } | null | undefined;
  if (typeof value?.svg === "function") await value.svg();
}

async function faultOf(call: () => unknown): Promise<string | null> {
  try {
    await settle(call());
    return null;
  } catch (error) {
    return error instanceof torch.CressetError ? null : String(error);
  }
}

const functional = vision.transforms.functional as unknown as Readonly<Record<string, unknown>>;
const image = torch.rand([3, 8, 6]);
const modules: [string, Readonly<Record<string, unknown>>, unknown[][]][] = [
  ["cresset/plot", plot, [[], [[1, 2]]]],
  ["cresset/data", data, [[], [[1, 2]]]],
  ["cresset/io", io, [[], [{}], [torch.zeros([2])]]],
  ["cresset/vision", vision as unknown as Readonly<Record<string, unknown>>, [[], [image]]],
  ["transforms.functional", functional, [[], [image], [image, 2], [image, [2, 2]]]],
  ["transforms", vision.transforms as unknown as Readonly<Record<string, unknown>>, [[], [4]]],
];

describe.each(modules)("%s", (_, module, before) => {
  it.each(calls(module))("%s", async (_, call) => {
    for (const [what, mistake] of Object.entries(mistakes)) {
      for (const args of before) {
        const fault = await faultOf(() => call(...args, mistake));
        expect(fault, `(${args.map(() => "…, ").join("")}${what})`).toBeNull();
      }
    }
  });
});

it.each(calls(vision.transforms as unknown as Readonly<Record<string, unknown>>))(
  "an image for transforms.%s",
  async (_, make) => {
    for (const args of [[], [4], [[0.5], [1]], [{ brightness: 0.5 }], ["float32"], [[]], [() => image], [10]]) {
      let transform: { forward?: Call };
      try {
        transform = make(...args) as { forward?: Call };
      } catch {
        continue; // other arguments are for other transforms
      }
      if (transform.forward === undefined) continue;
      for (const [what, mistake] of Object.entries(mistakes)) {
        expect(await faultOf(() => transform.forward?.(mistake)), what).toBeNull();
      }
    }
  },
);

const x = [1, 2, 3] as never;
const options: [string, Call, string[]][] = [
  [
    "line",
    (o) => plot.line(x, o as object),
    ["xlim", "ylim", "xticks", "yticks", "xscale", "alpha", "figsize", "title"],
  ],
  ["scatter", (o) => plot.scatter(x, x, o as object), ["labels", "s", "grid", "legend", "ylabel"]],
  ["bar", (o) => plot.bar(x, o as object), ["labels", "highlight", "yscale"]],
  ["hist", (o) => plot.hist(x, o as object), ["bins", "xlim", "figsize"]],
  ["imshow", (o) => plot.imshow(torch.rand([5, 4, 4]), o as object), ["cmap", "vmin", "titles", "columns", "figsize"]],
  ["confusionMatrix", (o) => plot.confusionMatrix([0], [0], o as object), ["classes", "normalize", "figsize"]],
  ["plotProgress", (o) => plot.plotProgress(x, o as object), ["every", "window", "ylim", "alpha"]],
  ["DataFrame.plot", (o) => new data.DataFrame({ a: x }).plot(o as object), ["kind", "x", "y", "bins"]],
];
it.each(options)("options of %s", async (_, call, names) => {
  for (const name of names)
    for (const [what, mistake] of Object.entries(mistakes))
      expect(await faultOf(() => call({ [name]: mistake })), `${name}: ${what}`).toBeNull();
});

it("methods of figures, frames and columns", async () => {
  const figure = plot.line([1, 2, 3]) as unknown as Record<string, Call>;
  const frame = new data.DataFrame({ a: [1, 2, 3], b: ["x", "y", null] });
  const called: [object, string[]][] = [
    [figure, ["svg", "png", "html", "save", "mount"]],
    [frame, ["column", "select", "iloc", "head", "tail", "fillna", "plot", "sql", "save"]],
    [frame.column("a"), ["get", "slice"]],
  ];
  for (const [target, names] of called)
    for (const name of names)
      for (const [what, mistake] of Object.entries(mistakes))
        for (const args of [[mistake], [0, mistake], [[0], mistake]]) {
          const fault = await faultOf(() => (target as Record<string, Call>)[name]?.(...args));
          expect(fault, `${name}(${args.length > 1 ? "…, " : ""}${what})`).toBeNull();
        }
});

const absent = undefined as never;
it.each<[string, () => unknown]>([
  [
    "confusionMatrix: labels is undefined; it must be a list of numbers, a tensor or a column",
    () => plot.confusionMatrix(absent, [1]),
  ],
  ["confusionMatrix: predictions is undefined; it", () => plot.confusionMatrix([1], absent)],
  ["confusionMatrix: 2 labels and 1 predictions", () => plot.confusionMatrix([0, 1], [0])],
  ["line: y is 3; it must be a list of numbers, a tensor, or an object of them by name", () => plot.line(3 as never)],
  ['line: "train" is null; it must be', () => plot.line({ train: null as never })],
  ["scatter: a list of 2 is not a number (x, place 0)", () => plot.scatter([[1, 2], [3]] as never, [1, 2])],
  ["imshow: image[1] is undefined; it must be a tensor", () => plot.imshow([torch.zeros([2, 2]), absent])],
  [
    'line: xscale is "logarithmic"; it must be "linear" or "log"',
    () => plot.line([1], { xscale: "logarithmic" as never }),
  ],
  ["graph: root is a list of 1; it must be a tensor", () => plot.graph([1] as never)],
  ["grid: figures[0] is an object; it must be a figure", () => plot.grid([{} as never])],
  ["saveNpy: tensor is a list of 2; it must be a tensor", () => io.saveNpy([1, 2] as never, "x.npy")],
  ["saveNpy: path is undefined; it must be a path, as a string", () => io.saveNpy(torch.zeros([1]), absent)],
  ["deserialize: bytes is a list of 1; it must be a Uint8Array", () => io.deserialize([1] as never)],
  [
    'saveFile: tensors["w"] is a Float32Array; it must be a tensor',
    () => io.saveFile({ w: new Float32Array(1) as never }, "x"),
  ],
  ["exportOnnx: model is an object; it must be a module", () => io.exportOnnx({} as never, torch.zeros([1]), "x")],
  ["load: source is undefined; it must be a path, as a string, or bytes", () => torch.load(absent)],
  ["save: target is undefined; it must be a path, as a string, or a WritableStream", () => torch.save({}, absent)],
  [
    "TensorDataset: tensors[1] is undefined; it must be a tensor",
    () => new data.TensorDataset(torch.zeros([1]), absent),
  ],
  [
    "DataLoader: dataset is undefined; it must be a Dataset, an IterableDataset or a list",
    () => new data.DataLoader(absent),
  ],
  ["readCsv: path is undefined; it must be a path, as a string", () => data.readCsv(absent)],
  ['readCsv: header is "infer"; it must be 0 or null', () => data.readCsv("x.csv", { header: "infer" as never })],
  [
    "CsvDataset: a file takes time to read: await CsvDataset.read(path)",
    () => new (data.CsvDataset as never as new (p: string) => object)("x"),
  ],
  [
    "DataFrame: data is undefined; it must be rows, columns by name, a list or a tensor",
    () => new data.DataFrame(absent),
  ],
  [
    "DataFrame.iloc: rows is undefined; it must be a place, a list of places, or { start, stop }",
    () => new data.DataFrame([1]).iloc(absent),
  ],
  ["resize: image is undefined; it must be a tensor", () => vision.transforms.functional.resize(absent, 2)],
  [
    "Compose: transforms[0] is null; it must be a transform or a function",
    () => new vision.transforms.Compose([null as never]),
  ],
  ["makeGrid: images[0] is 1; it must be a tensor", () => vision.makeGrid([1] as never)],
  [
    "readImage: path is a Uint8Array; it must be a path, as a string",
    () => vision.readImage(new Uint8Array(2) as never),
  ],
])("says %s", async (message, call) => {
  const failing = (async () => call())();
  await expect(failing).rejects.toThrow(message);
  await expect(failing).rejects.toBeInstanceOf(torch.CressetError);
});

it.each([
  "sum",
  "mean",
  "prod",
  "var",
  "amax",
  "amin",
  "max",
  "min",
  "argmax",
  "argmin",
  "any",
  "all",
  "logsumexp",
  "median",
])("%s(dim, true) is not taken for keepdim", (name) => {
  const x = torch.ones([2, 3]) as unknown as Record<string, (...args: unknown[]) => unknown>;
  expect(() => x[name]?.(1, true)).toThrow(`${name}: the options are true; write ${name}(…, { keepdim: true })`);
  expect(() => x[name]?.(1, null)).toThrow(torch.ValueError);
  expect(() => x[name]?.(1, { keepdim: true })).not.toThrow();
});

it("an element's place is a list", () => {
  const x = torch.zeros([2, 3]) as unknown as Record<"get" | "set", (...args: unknown[]) => unknown>;
  expect(() => x.get(1, 2)).toThrow("index: the indices are 1; write them as a list, [i, j]");
  expect(() => x.set(1, 2)).toThrow(torch.ValueError);
  expect(x.get([1, 2])).toBe(0);
});
