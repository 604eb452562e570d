/** The WebAssembly renderer against the interpreter: every primitive, every way to load and store. */
import { describe, it } from "vitest";
import {
  constant,
  type Expr,
  gather,
  index,
  load,
  make,
  type Op,
  type Operand,
  type Step,
  type StorageType,
  scalar,
  type ValueType,
  valueTypeOf,
} from "../../src/kernel/ir.js";
import { memoryOf, type View } from "./interpreter.js";
import { check, fill, lengths, random, storageOf, store } from "./wasm-loops.js";

/** A map along one axis: operands are `inputs`, then one output for each value. */
function checkMap(
  inputs: readonly (readonly [StorageType, Step])[],
  values: readonly Expr[],
  outputs: readonly StorageType[],
  n: number,
  plain = false,
): void {
  const operands: Operand[] = [
    ...inputs.map(([type, step]) => ({ type, step })),
    ...outputs.map((type) => ({ type, step: "unit" as const })),
  ];
  const views = operands.map(({ type, step }): View => {
    const stride = step === "uniform" ? 0 : step === "unit" ? 1 : 3;
    return { data: fill(memoryOf(type, Math.max(1, n) * stride + 3), type, plain), offset: 2, strides: [stride] };
  });
  check({ operands, stores: values.map((v, i) => store(inputs.length + i, v)), outer: [n] }, views);
}

describe("wasm: maps", () => {
  const numeric: readonly ValueType[] = ["f32", "f64", "i32", "i64", "u32"];
  const every: readonly ValueType[] = [...numeric, "bool"];
  const floats: readonly ValueType[] = ["f32", "f64"];
  const integers: readonly ValueType[] = ["i32", "i64", "u32"];
  const unary: Partial<Record<Op, readonly ValueType[]>> = {
    neg: numeric,
    abs: numeric,
    sqrt: floats,
    floor: numeric,
    ceil: numeric,
    trunc: numeric,
    round: numeric,
    not: [...integers, "bool"],
  };
  const binary: Partial<Record<Op, readonly ValueType[]>> = {
    add: numeric,
    sub: numeric,
    mul: numeric,
    div: numeric,
    rem: integers,
    mulhi: ["u32"],
    and: [...integers, "bool"],
    or: [...integers, "bool"],
    xor: [...integers, "bool"],
    shl: integers,
    shr: integers,
    eq: every,
    ne: every,
    lt: every,
    le: every,
  };
  const comparisons = new Set<string>(["eq", "ne", "lt", "le"]);

  for (const [op, types] of Object.entries(unary) as [Op, readonly ValueType[]][]) {
    it(op, () => {
      for (const type of types) {
        const e = make(op, type, [load(0, type)]);
        for (const n of lengths) checkMap([[storageOf[type], "unit"]], [e], [storageOf[type]], n);
      }
    });
  }
  for (const [op, types] of Object.entries(binary) as [Op, readonly ValueType[]][]) {
    it(op, () => {
      for (const type of types) {
        const out: ValueType = comparisons.has(op) ? "bool" : type;
        const s = storageOf[type];
        const e = make(op, out, [load(0, type), load(1, type)]);
        for (const n of lengths)
          checkMap(
            [
              [s, "unit"],
              [s, "unit"],
            ],
            [e],
            [storageOf[out]],
            n,
          );
        checkMap(
          [
            [s, "strided"],
            [s, "uniform"],
          ],
          [e],
          [storageOf[out]],
          33,
        );
        // by constants: shifts by one count, divisors that need no care and those that do
        for (const c of [3, 1, 0, type === "u32" || type === "bool" ? 1 : -1]) {
          if (type === "bool" && c === 3) continue;
          const k = make(op, out, [load(0, type), constant(c, type)]);
          checkMap([[s, "unit"]], [k], [storageOf[out]], 33);
        }
      }
    });
  }
  it("select", () => {
    for (const type of every) {
      const e = make("select", type, [
        make("lt", "bool", [load(0, "i32"), load(1, "i32")]),
        load(2, type),
        load(3, type),
      ]);
      const s = storageOf[type];
      for (const n of lengths)
        checkMap(
          [
            ["int32", "unit"],
            ["int32", "unit"],
            [s, "unit"],
            [s, "strided"],
          ],
          [e],
          [s],
          n,
        );
      const f = make("select", type, [load(0, "bool"), load(1, type), constant(type === "i64" ? 1n : 1, type)]);
      checkMap(
        [
          ["bool", "unit"],
          [s, "unit"],
        ],
        [f],
        [s],
        33,
      );
    }
  });
  it("cast between all types", () => {
    for (const from of every)
      for (const to of every) {
        const e = make("cast", to, [load(0, from)]);
        for (const n of [7, 33, 64]) checkMap([[storageOf[from], "unit"]], [e], [storageOf[to]], n);
      }
  });
  it("bitcast", () => {
    const pairs: readonly (readonly [ValueType, ValueType])[] = [
      ["f32", "i32"],
      ["f32", "u32"],
      ["i32", "f32"],
      ["u32", "f32"],
      ["f64", "i64"],
      ["i64", "f64"],
      ["i32", "u32"],
    ];
    for (const [from, to] of pairs) {
      const e = make("bitcast", to, [load(0, from)]);
      for (const n of lengths) checkMap([[storageOf[from], "unit"]], [e], [storageOf[to]], n, true);
    }
  });
  it("loads and stores every storage type with every step", () => {
    for (const type of Object.keys(valueTypeOf) as StorageType[]) {
      const value: ValueType = type === "float16" || type === "bfloat16" ? "i32" : valueTypeOf[type];
      for (const step of ["unit", "uniform", "strided"] as const)
        for (const n of lengths) checkMap([[type, step]], [load(0, value)], [type], n);
      // a store with a stride
      const views: View[] = [
        { data: fill(memoryOf(type, 40), type), offset: 0, strides: [1] },
        { data: fill(memoryOf(type, 120), type), offset: 1, strides: [3] },
      ];
      check(
        {
          operands: [
            { type, step: "unit" },
            { type, step: "strided" },
          ],
          stores: [store(1, load(0, value))],
          outer: [37],
        },
        views,
      );
    }
  });
  it("narrow integers wrap when stored", () => {
    for (const type of ["int8", "uint8", "int16"] as const)
      for (const n of lengths) checkMap([["int32", "unit"]], [load(0, "i32")], [type], n);
  });
  it("mixes widths", () => {
    const e = make("add", "f64", [make("cast", "f64", [load(0, "f32")]), make("cast", "f64", [load(1, "i64")])]);
    for (const n of lengths)
      checkMap(
        [
          ["float32", "unit"],
          ["int64", "strided"],
        ],
        [e],
        ["float64"],
        n,
      );
  });
  it("scalars, constants and the index", () => {
    for (const n of lengths) {
      const e = make("add", "f32", [
        make("mul", "f32", [scalar(0, "f32"), load(0, "f32")]),
        make("cast", "f32", [index(0)]),
      ]);
      const g = make("select", "f32", [scalar(1, "bool"), e, make("cast", "f32", [scalar(2, "i32")])]);
      for (const flag of [0, 1]) {
        check(
          {
            operands: [
              { type: "float32", step: "unit" },
              { type: "float32", step: "unit" },
            ],
            stores: [store(1, g)],
            outer: [n],
            scalars: ["f32", "bool", "i32"],
            values: [0.1, flag, -5],
          },
          [
            { data: fill(memoryOf("float32", 40), "float32", true), offset: 0, strides: [1] },
            { data: memoryOf("float32", 40), offset: 0, strides: [1] },
          ],
        );
      }
    }
    const wide = make("add", "i64", [scalar(0, "i64"), load(0, "i64")]);
    check(
      {
        operands: [
          { type: "int64", step: "unit" },
          { type: "int64", step: "unit" },
        ],
        stores: [store(1, wide)],
        outer: [9],
        scalars: ["i64"],
        values: [2n ** 52n],
      },
      [0, 1].map(() => ({ data: fill(memoryOf("int64", 9), "int64"), offset: 0, strides: [1] })),
    );
  });
  it("several stores, in place: everything is read before anything is written", () => {
    const [a, b] = [load(0, "f32"), load(1, "f32")];
    for (const n of lengths) {
      check(
        {
          operands: [
            { type: "float32", step: "unit" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(0, make("add", "f32", [a, b])), store(1, make("sub", "f32", [a, b]))],
          outer: [n],
        },
        [0, 1].map(() => ({ data: fill(memoryOf("float32", 40), "float32", true), offset: 1, strides: [1] })),
      );
      // a swap: what the second store reads, the first has written
      check(
        {
          operands: [
            { type: "float32", step: "unit" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(0, b), store(1, a)],
          outer: [n],
        },
        [0, 1].map(() => ({ data: fill(memoryOf("float32", 40), "float32", true), offset: 1, strides: [1] })),
      );
    }
  });
  it("two and three axes, transposed and broadcast", () => {
    for (const [r, c] of [
      [1, 1],
      [3, 5],
      [5, 33],
      [7, 4],
      [0, 3],
      [3, 0],
    ]) {
      const e = make("add", "f32", [
        make("mul", "f32", [load(0, "f32"), load(1, "f32")]),
        make("cast", "f32", [make("sub", "i32", [index(0), index(1)])]),
      ]);
      check(
        {
          operands: [
            { type: "float32", step: "strided" },
            { type: "float32", step: "uniform" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(2, e)],
          outer: [r, c],
        },
        [
          { data: fill(memoryOf("float32", 300), "float32", true), offset: 3, strides: [1, Math.max(1, r)] },
          { data: fill(memoryOf("float32", 300), "float32", true), offset: 1, strides: [2, 0] },
          { data: memoryOf("float32", 300), offset: 2, strides: [c + 1, 1] },
        ],
      );
    }
    const e = make("add", "i32", [
      load(0, "i32"),
      make("mul", "i32", [index(1), make("add", "i32", [index(0), index(2)])]),
    ]);
    check(
      {
        operands: [
          { type: "int32", step: "unit" },
          { type: "int32", step: "unit" },
        ],
        stores: [store(1, e)],
        outer: [3, 4, 5],
      },
      [
        { data: fill(memoryOf("int32", 100), "int32"), offset: 40, strides: [5, -10, 1] },
        { data: memoryOf("int32", 60), offset: 0, strides: [20, 5, 1] },
      ],
    );
  });
  it("no axis at all", () => {
    check(
      {
        operands: [
          { type: "float32", step: "uniform" },
          { type: "float32", step: "uniform" },
        ],
        stores: [store(1, make("neg", "f32", [load(0, "f32")]))],
        outer: [],
      },
      [0, 1].map(() => ({ data: fill(memoryOf("float32", 2), "float32", true), offset: 1, strides: [] })),
    );
  });
});

describe("wasm: gather and scatter", () => {
  it("gathers elements and rows", () => {
    for (const n of lengths) {
      const ids = memoryOf("int32", 40);
      for (let i = 0; i < 40; i++) ids[i] = Math.floor(random() * 50);
      const table: View = { data: fill(memoryOf("float32", 60), "float32", true), offset: 3, strides: [0] };
      check(
        {
          operands: [
            { type: "float32", step: "uniform" },
            { type: "int32", step: "unit" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(2, gather(0, "f32", load(1, "i32")))],
          outer: [n],
        },
        [table, { data: ids, offset: 0, strides: [1] }, { data: memoryOf("float32", 40), offset: 0, strides: [1] }],
      );
      // rows of an embedding: id · width + column
      const at = make("add", "i32", [make("mul", "i32", [load(1, "i32"), constant(n, "i32")]), index(1)]);
      check(
        {
          operands: [
            { type: "float32", step: "uniform" },
            { type: "int32", step: "uniform" },
            { type: "float32", step: "unit" },
          ],
          stores: [store(2, gather(0, "f32", at))],
          outer: [5, n],
        },
        [
          { data: fill(memoryOf("float32", 50 * n + 3), "float32", true), offset: 3, strides: [0, 0] },
          { data: ids, offset: 0, strides: [1, 0] },
          { data: memoryOf("float32", 5 * n), offset: 0, strides: [n, 1] },
        ],
      );
    }
  });
  it("scatters, and adds where it shall", () => {
    for (const accumulate of [false, true])
      for (const type of ["float32", "int32", "int64", "float64"] as const) {
        const ids = memoryOf("int32", 33);
        for (let i = 0; i < 33; i++) ids[i] = Math.floor(random() * 7);
        check(
          {
            operands: [
              { type: "int32", step: "unit" },
              { type, step: "unit" },
              { type, step: "uniform" },
            ],
            stores: [{ operand: 2, value: load(1, valueTypeOf[type]), per: "element", at: load(0, "i32"), accumulate }],
            outer: [33],
          },
          [
            { data: ids, offset: 0, strides: [1] },
            { data: fill(memoryOf(type, 33), type, true), offset: 0, strides: [1] },
            { data: fill(memoryOf(type, 9), type, true), offset: 1, strides: [0] },
          ],
          1e-6,
        );
      }
  });
});
