/** Tables: frames in memory, files through DuckDB, and what bad files are answered. Statistics are numpy's. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as torch from "cresset";
import { CsvDataset, CsvStream, DataFrame, DataLoader, readCsv, readJsonLines, readParquet } from "cresset/data";
import { SyntheticDigits } from "cresset/vision";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stream } from "../../src/data/table/duckdb-node.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cresset-tables-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(text: string, name = `${files++}.csv`, encoding: BufferEncoding = "utf8"): string {
  const path = join(folder, name);
  writeFileSync(path, text, encoding);
  return path;
}

describe("DataFrame", () => {
  it("is made of rows, records, columns, lists and tensors", () => {
    expect(new DataFrame([0.5, 0.25], { columns: ["loss"] }).toRecords()).toEqual([{ loss: 0.5 }, { loss: 0.25 }]);
    const rows = new DataFrame([
      [1, "a"],
      [2, null],
    ]);
    expect(rows.dtypes).toEqual({ "0": "int32", "1": "string" });
    expect(rows.iloc(1, 1)).toBeNull();
    expect(new DataFrame([{ a: 1 }, { a: 2.5, b: true }]).dtypes).toEqual({ a: "float64", b: "bool" });
    expect(new DataFrame({ x: Float32Array.of(1, 2), y: torch.tensor([3, 4]) }).shape).toEqual([2, 2]);
    const tensor = new DataFrame(torch.arange(6).reshape(2, 3).T, { columns: ["a", "b"] });
    expect(tensor.toRecords()[2]).toEqual({ a: 2, b: 5 });
    expect(tensor.values.dtype).toBe("int32");
    expect(new DataFrame([]).shape).toEqual([0, 1]);
  });

  it("refuses columns and rows of different lengths, and mixed kinds", () => {
    expect(() => new DataFrame({ a: [1], b: [1, 2] })).toThrow('DataFrame: column "b" has 2 values, "a" has 1');
    expect(() => new DataFrame([[1, 2], [3]])).toThrow("DataFrame: row 1 has 1 values, row 0 has 2");
    expect(() => new DataFrame([1, "x"])).toThrow('DataFrame: column "0" mixes numbers with "x", a string');
    expect(() => new DataFrame(torch.zeros([1, 1, 1]))).toThrow(torch.ShapeError);
  });

  it("goes to a tensor and back, whatever the columns' dtypes", () => {
    const tensor = torch.randn([130, 3]);
    expect(new DataFrame(tensor).values.equal(tensor)).toBe(true);
    const mixed = new DataFrame({ a: Uint8Array.of(1, 2), b: BigInt64Array.of(2n ** 60n, -1n) });
    expect(mixed.values.dtype).toBe("int64");
    expect([...(mixed.values.toTypedArray() as BigInt64Array)]).toEqual([1n, 2n ** 60n, 2n, -1n]);
    expect(mixed.iloc(0, 1)).toBe(2n ** 60n);
    expect(new DataFrame({ a: [true, false] }).values.tolist()).toEqual([[true], [false]]);
  });

  it("selects by position as pandas does", () => {
    const df = new DataFrame(torch.arange(12).reshape(4, 3), { columns: ["a", "b", "c"] });
    expect(df.iloc(-1).toList()).toEqual([9, 10, 11]);
    expect(df.iloc(1, { start: 1 }).values.tolist()).toEqual([4, 5]);
    expect(df.iloc(1).slice(-2).get(0)).toBe(4);
    expect(df.iloc({ start: 1, stop: -1 }).values.tolist()).toEqual([
      [3, 4, 5],
      [6, 7, 8],
    ]);
    expect(df.iloc([3, 0], { stop: 1 }).values.tolist()).toEqual([[9], [0]]);
    expect(df.head(1).shape).toEqual([1, 3]);
    expect(df.tail(2).iloc(0, 0)).toBe(6);
    expect(df.select(["c", "a"]).columns).toEqual(["c", "a"]);
    expect(df.column("b").values.tolist()).toEqual([1, 4, 7, 10]);
    expect(() => df.iloc(4)).toThrow(torch.IndexError);
    expect(() => df.iloc(0, 3)).toThrow("DataFrame.iloc: column: 3 is not within 0 … 2");
    expect(() => df.column("d")).toThrow('no column "d"; there are a, b, c');
  });

  it("takes a column of some rows, and all but some", () => {
    const df = new DataFrame(torch.arange(12).reshape(4, 3), { columns: ["a", "b", "c"] });
    const part = df.iloc({ start: 1, stop: 3 }, -1);
    expect([part.name, part.index, part.toList()]).toEqual(["c", ["1", "2"], [5, 8]]);
    expect(df.iloc([3, 0], 0).values.tolist()).toEqual([9, 0]);
    expect([df.head(-1).length, df.tail(-3).iloc(0, 0), df.tail(0).length, df.head(99).length]).toEqual([3, 9, 0, 4]);
    expect(() => df.iloc([0], 3)).toThrow("DataFrame.iloc: column: 3 is not within 0 … 2");
  });

  it("prints texts on one line, wide letters in two columns, and no digit wrong", () => {
    const df = new DataFrame({ 이름: ["가", "a\nb"], x: [123456789.123, 1e-20], long: ["y".repeat(200), null] });
    expect(df.toString().split("\n")).toEqual([
      `   이름             x  ${" ".repeat(46)}long`,
      `0    가  123456789.12  ${"y".repeat(49)}…`,
      `1  a\\nb         1e-20  ${" ".repeat(49)}–`,
      "[2 rows × 3 columns]",
    ]);
    expect(df.column("이름").toString()).toBe("0  가\n1  a\\nb\nname: 이름, length: 2, dtype: string");
    expect(df.iloc(0).toString()).toContain("이름  가\nx     123456789.12");
  });

  it("describes numbers as pandas does", () => {
    const df = new DataFrame({
      x: [1, 2, 3, 4, null],
      y: [0.5, 0.25, 0.25, Number.NaN, 8],
      s: ["a", "b", "c", "d", "e"],
    });
    // numpy: mean, std(ddof=1), quantile
    const { values } = df.describe().select(["x", "y"]);
    const expected = [
      4, 4, 2.5, 2.25, 1.2909944487358056, 3.8351444996679502, 1, 0.25, 1.75, 0.25, 2.5, 0.375, 3.25, 2.375, 4, 8,
    ];
    for (const [i, value] of (values.toTypedArray() as Float64Array).entries())
      expect(value).toBeCloseTo(expected[i]!, 12);
  });

  it("knows missing values, and says where they stop a tensor", () => {
    const df = new DataFrame({ a: [1, null, 3], b: [0.5, 1.5, Number.NaN] });
    expect(() => df.values).toThrow(
      'DataFrame.values: column "a" has no value in row 1; use dropna() or fillna(value)',
    );
    expect(df.dropna().toRecords()).toEqual([{ a: 1, b: 0.5 }]);
    expect(df.fillna(0).values.tolist()).toEqual([
      [1, 0.5],
      [0, 1.5],
      [3, 0],
    ]);
    expect(() => df.fillna(0.5)).toThrow('fillna: column "a" is int32 and does not hold 0.5');
    expect(() => df.iloc(1).values).toThrow('Series "1": a is missing');
  });

  it("prints its edges, and answers notebooks with a table that runs nothing", () => {
    const df = new DataFrame(torch.arange(600).reshape(20, 30));
    expect(df.toString().split("\n")).toHaveLength(13);
    expect(df.toString()).toContain("[20 rows × 30 columns]");
    const hostile = new DataFrame({ "<b>": ["<script>alert(1)</script>"] });
    const shown = (hostile as unknown as Record<symbol, () => Record<string, string>>)[
      Symbol.for("Jupyter.display")
    ]!();
    expect(shown["text/html"]).toContain("<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>");
    expect(shown["text/plain"]).toContain("[1 rows × 1 columns]");
  });

  it("answers SQL", async () => {
    const df = new DataFrame({
      label: [1, 0, 1],
      loss: [0.5, 0.25, null],
      "odd \"name'": ["x", null, "z"],
      big: [1n, 2n, 3n],
    });
    const result = await df.sql("select label, count(*) as n, avg(loss) as mean from df group by label order by label");
    expect(result.toRecords()).toEqual([
      { label: 0, n: 1, mean: 0.25 },
      { label: 1, n: 2, mean: 0.5 },
    ]);
    expect((await df.sql("from df")).toRecords()).toEqual(df.toRecords());
    await expect(df.sql("select nothing from df")).rejects.toThrow("nothing");
  });
});

describe("files", () => {
  it("are read and queried side by side", async () => {
    const path = file(Array.from({ length: 9000 }, (_, i) => `${i % 10},${i}`).join("\n"));
    const tables = [1, 2, 3].map((value) => new DataFrame({ value: [value] }));
    let count = 0;
    for await (const [row] of new CsvStream(path)) {
      if (count % 3000 === 0) {
        const answers = await Promise.all(tables.map((table) => table.sql("select value * 2 as twice from df")));
        expect(answers.map((answer) => answer.iloc(0, 0))).toEqual([2, 4, 6]);
        expect((await readCsv(path, { header: null })).length).toBe(9000);
      }
      expect(row.item()).toBe(count++);
    }
    expect(count).toBe(9000);
  }, 60_000);

  it("count lines from the first of the file", async () => {
    const path = file("made today\na,b\n1,2\n\n3,4\n5,x\n");
    await expect(readCsv(path, { skiprows: 1, dtype: "float64" })).rejects.toThrow('line 6, column 2 ("b"): "x"');
    await expect(readCsv(file("a,b\n1,2\n\n3,2.5\n"), { dtype: "int32" })).rejects.toThrow(
      'line 4, column 2 ("b"): 2.5',
    );
  });

  it("reads a CSV with and without names", async () => {
    const path = file('name,"a ""b""",x\none,1,0.5\n"two, three",2,1e3\n');
    const df = await readCsv(path);
    expect(df.dtypes).toEqual({ name: "string", 'a "b"': "int32", x: "float64" });
    expect(df.toRecords()[1]).toEqual({ name: "two, three", 'a "b"': 2, x: 1000 });
    const plain = await readCsv(file("5,0,255\r\n3,1,2\r\n"), { header: null });
    expect(plain.columns).toEqual(["0", "1", "2"]);
    expect(plain.values.tolist()).toEqual([
      [5, 0, 255],
      [3, 1, 2],
    ]);
    expect((await readCsv(file("x;y\n1;2\n3;4\n"), { sep: ";", names: ["a", "b"], nrows: 1 })).toRecords()).toEqual([
      { a: 1, b: 2 },
    ]);
    expect((await readCsv(file("# made today\na\ntrue\nfalse\n"), { skiprows: 1 })).dtypes).toEqual({ a: "bool" });
    expect((await readCsv(file("a,a,a\n1,2,3\n"))).columns).toEqual(["a", "a.1", "a.2"]);
    expect((await readCsv(file("a,b\n"))).shape).toEqual([0, 2]);
  });

  it("keeps every digit", async () => {
    const df = await readCsv(file("a,b,c\n9007199254740993,2147483648,-1\n-5,1,0\n"), { dtype: { a: "int64" } });
    expect(df.iloc(0).toList()).toEqual([9007199254740993n, 2147483648, -1]);
    expect(df.dtypes).toEqual({ a: "int64", b: "float64", c: "int32" });
    // A fraction after more lines than are sampled: the library alone would round it.
    const late = `a\n${"1\n".repeat(5000)}2.5\n`;
    const column = (await readCsv(file(late))).column("a");
    expect([column.dtype, column.get(5000), column.get(0)]).toEqual(["float64", 2.5, 1]);
  });

  it("reads whole numbers of every size, also where the first lines are small or fractions come late", async () => {
    const rows = 300_000; // more than the bytes that are looked at first
    const many = (last: string, first = "7") => file(`${`${first},0,0\n`.repeat(rows)}${last},1,2\n`);
    for (const [last, first, dtype] of [
      ["255", "7", "int32"],
      ["256", "7", "int32"],
      ["-1", "7", "int32"],
      ["-32768", "-7", "int32"],
      ["32768", "300", "int32"],
      ["2147483647", "7", "int32"],
      ["2147483648", "7", "float64"],
      ["2.5", "7", "float64"],
      ["1e3", "7", "int32"],
    ] as const) {
      const df = await readCsv(many(last, first), { header: null });
      expect([last, df.dtypes["0"], df.iloc(-1).toList(), df.iloc(0, 0), df.length]).toEqual([
        last,
        dtype,
        [Number(last), 1, 2],
        Number(first),
        rows + 1,
      ]);
      expect(df.values.sum(0).tolist()).toEqual([Number(first) * rows + Number(last), 1, 2]);
    }
    // Nothing is rounded where the end of the names is not a line feed, or where numbers are not decimal.
    expect((await readCsv(file("a.b\r1.5\r2\r"))).column("a.b").toList()).toEqual([1.5, 2]);
    await expect(readCsv(file("a\n1\n0x10\n"), { dtype: "int32" })).rejects.toThrow('line 3, column 1 ("a"): "0x10"');
    const gaps = await readCsv(file("1,2\n,3\nNA,4\n"), { header: null });
    expect(gaps.dtypes).toEqual({ "0": "int32", "1": "int32" });
    expect(gaps.fillna(100_000).values.tolist()).toEqual([
      [1, 2],
      [100_000, 3],
      [100_000, 4],
    ]);
  }, 60_000);

  it("takes names as they come: none, twice, of another case, of objects' own", async () => {
    const read = async (text: string) => (await readCsv(file(text))).toRecords();
    // What pandas writes with its index.
    expect(await read(",loss\n0,0.5\n1,0.25\n")).toEqual([
      { "Unnamed: 0": 0, loss: 0.5 },
      { "Unnamed: 0": 1, loss: 0.25 },
    ]);
    expect((await readCsv(file("a,b,\n1,2,\n"))).columns).toEqual(["a", "b", "Unnamed: 2"]);
    expect(await read("a,A\n1,2\n")).toEqual([{ a: 1, A: 2 }]);
    const odd = await readCsv(file("__proto__,constructor\n1,2\n"));
    expect([odd.columns, odd.column("__proto__").get(0)]).toEqual([["__proto__", "constructor"], 1]);
    expect(await read("\uFEFF이름,값\r\n가,1\r\n")).toEqual([{ 이름: "가", 값: 1 }]);
    await expect(readCsv(file("a,A\n1,2\n1,x\n"), { dtype: "float32" })).rejects.toThrow('line 3, column 2 ("A"): "x"');
    await expect(new DataFrame({ a: [1], A: [2] }).sql("from df")).rejects.toThrow('columns "a" and "A" have one name');
    await expect(new DataFrame({ a: [1] }).sql("select b from df")).rejects.toThrow(torch.ValueError);
  });

  it("names an encoding that is not UTF-8", async () => {
    const korean = Buffer.from([0x61, 0x2c, 0x62, 0x0a, 0xb0, 0xa1, 0x2c, 0x32, 0x0a]); // "가" in CP949
    const path = join(folder, "cp949.csv");
    writeFileSync(path, korean);
    await expect(readCsv(path)).rejects.toThrow('is not UTF-8; save it as such (in Excel: "CSV UTF-8")');
    writeFileSync(path, Buffer.concat([Buffer.from("a,b\n".repeat(1_100_000)), korean]));
    await expect(readCsv(path)).rejects.toThrow("is not UTF-8");
    writeFileSync(path, gzipSync("a,b\n1,2\n"));
    await expect(readCsv(path)).rejects.toThrow("is packed with gzip; unpack it first");
  });

  it("keeps the digits of large whole numbers, such as identifiers", async () => {
    const ids = await readCsv(file("id,x\n9007199254740993,1\n-5,2.5\n,3\n"));
    expect([ids.dtypes, ids.column("id").toList()]).toEqual([
      { id: "int64", x: "float64" },
      [9007199254740993n, -5, null],
    ]);
    const json = await readJsonLines(file('{"id":9007199254740993,"n":1}\n{"id":null,"n":2}\n', "ids.jsonl"));
    expect([json.column("id").toList(), json.dtypes]).toEqual([[9007199254740993n, null], { id: "int64", n: "int32" }]);
    expect((await readCsv(file("x\n1e300\n2.5\n"))).column("x").toList()).toEqual([1e300, 2.5]);
    expect((await readCsv(file("x\n12345678901234567890\n"))).dtypes).toEqual({ x: "float64" });
  });

  it("infers what the library would, where it need not ask it", async () => {
    const dtypes = async (text: string, options = {}): Promise<unknown> =>
      (await readCsv(file(text), { header: null, ...options })).dtypes;
    const many = (line: string, last: string): string => `${`${line}\n`.repeat(2100)}${last}\n`;
    expect(await dtypes("1,7\n2,20261125")).toEqual({ "0": "int32", "1": "int32" });
    expect(await dtypes("1,007\n2,008\n")).toEqual({ "0": "int32", "1": "string" });
    expect(await dtypes("0|1\r\n1|0\r\n", { sep: "|" })).toEqual({ "0": "int32", "1": "int32" });
    expect(await dtypes("1^2\n3^4\n", { sep: "^" })).toEqual({ "0": "int32", "1": "int32" });
    expect(await dtypes("a,b\n1,2\n", { header: 0 })).toEqual({ a: "int32", b: "int32" });
    expect(await dtypes("1,2\n3,x\n")).toEqual({ "0": "int32", "1": "string" });
    expect(await dtypes("1,2\n3,\n")).toEqual({ "0": "int32", "1": "int32" });
    expect(await dtypes("1,9999999999\n")).toEqual({ "0": "int32", "1": "float64" });
    expect(await dtypes(many("1,2", "3,4.5"))).toEqual({ "0": "int32", "1": "float64" });
    await expect(dtypes(many("1,2", "3,x"))).rejects.toThrow('line 2101, column 2 ("1"): "x" is not a number');
    await expect(dtypes("1,2\n3\n")).rejects.toThrow("line 2: 1 values, where the first line has 2");
  });

  it("takes gaps for missing values", async () => {
    const df = await readCsv(file("a,b,c\n1,,x\nNA,2,\n3,?,null\n"), { naValues: ["?"] });
    expect(df.toRecords()).toEqual([
      { a: 1, b: null, c: "x" },
      { a: null, b: 2, c: null },
      { a: 3, b: null, c: null },
    ]);
    const numbers = await readCsv(file("a,b\n1,NA\n2.5,4\n"));
    expect(numbers.toRecords()).toEqual([
      { a: 1, b: null },
      { a: 2.5, b: 4 },
    ]);
  });

  it.each([
    ["a short line", "1,2,3\n4,5\n", {}, "line 2: 2 values, where the first line has 3"],
    ["a long line", "1,2,3\n4,5,6\n7,8,9,10\n", {}, "line 3: 4 values, where the first line has 3"],
    ["text after the sample", `${"1,2\n".repeat(5000)}1,x\n`, {}, 'line 5001, column 2 ("1"): "x" is not a number'],
    ["text where a number must be", "1,2\n3,x\n", { dtype: "float32" }, 'line 2, column 2 ("1"): "x" is not float32'],
    [
      "a fraction where an integer must be",
      "1,2\n\n3,2.5\n",
      { dtype: "int32" },
      'line 3, column 2 ("1"): 2.5 is not int32',
    ],
    ["a number out of range", "1,2\n3,256\n", { dtype: { "1": "uint8" } }, 'line 2, column 2 ("1"): 256 is not uint8'],
    ["an int64 with a fraction", "1\n2.0\n", { dtype: "int64" }, 'line 2, column 1 ("0"): "2.0" is not int64'],
  ] as const)("names the place of %s", async (_, text, options, message) => {
    const reading = readCsv(file(text), { header: null, ...options });
    await expect(reading).rejects.toThrow(torch.FormatError);
    await expect(reading).rejects.toThrow(message);
  });

  it("refuses what is no table", async () => {
    await expect(readCsv(join(folder, "absent.csv"))).rejects.toThrow(torch.DataError);
    await expect(readCsv(folder)).rejects.toThrow("not a regular file");
    await expect(readCsv(file(""))).rejects.toThrow("is empty");
    await expect(readCsv(file("a,\0b\n1,2\n"))).rejects.toThrow("is no text: it has a zero byte");
    await expect(readCsv(file("\uFEFFa\n1\n", "wide.csv", "utf16le"))).rejects.toThrow("is UTF-16; save it as UTF-8");
    await expect(readCsv(file("a\n1\n"), { sep: "::" })).rejects.toThrow(torch.ValueError);
    await expect(readCsv(file("a\n1\n"), { dtype: { b: "int32" } })).rejects.toThrow('dtype names column "b"');
    await expect(readCsv(file("a\n1\n"), { names: ["a", "b"] })).rejects.toThrow("2 names for the 1 columns");
    await expect(readCsv(file("a\n1\n", "x[1].csv"))).rejects.toThrow("is a pattern");
    await expect(readParquet(file("PAR1 and no more", "bad.parquet"))).rejects.toThrow(torch.FormatError);
    const nested = await readJsonLines(file('{"a":{"b":[1,2]}}\n', "nested.jsonl"));
    expect(nested.toRecords()).toEqual([{ a: '{"b":[1,2]}' }]);
    await expect(readJsonLines(file('{"a":1}\n{"a":\n', "bad.jsonl"))).rejects.toThrow(/line 2|line 3/);
  });

  it.each(["csv", "parquet", "jsonl"])("writes .%s and reads it again", async (form) => {
    const df = new DataFrame({
      n: [1, 2, 3],
      x: [0.1, null, 1e-300],
      s: ['"quoted", 한글', null, "x"],
      b: [true, false, true],
    });
    const path = join(folder, `table.${form}`);
    await df.save(path);
    const read = form === "csv" ? readCsv : form === "parquet" ? readParquet : readJsonLines;
    const again = await read(path);
    expect(again.toRecords()).toEqual(df.toRecords());
    expect(again.dtypes).toEqual(df.dtypes);
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("ends with an error, never early, where reading fails after millions of rows", async () => {
    const last = 20_000_000;
    const sql = `select case when i = ${last} then cast('late' || i as integer) else i end as x from range(${last + 1}) t(i)`;
    let count = 0;
    const read = async (): Promise<void> => {
      for await (const batch of stream(sql, [{ name: "x", type: "INTEGER", target: "int32" }])) count += batch.length;
    };
    await expect(read()).rejects.toThrow("Could not convert string 'late20000000'");
    expect(count).toBeGreaterThan(2 ** 20);
    expect(count).toBeLessThanOrEqual(last);
  }, 60_000);

  it("leaves the old file where writing fails", async () => {
    const path = file("old", "kept.csv");
    await expect(new DataFrame([1]).save(join(path, "below.csv"))).rejects.toThrow(torch.CressetError);
    await expect(new DataFrame([1]).save(join(folder, "x.xlsx"))).rejects.toThrow("does not end in");
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});

describe("data sets of CSV files", () => {
  const digits = new SyntheticDigits({ length: 3000 });
  const lines = Array.from({ length: digits.length }, (_, i) => [digits.labelOf(i), ...digits.pixelsOf(i)].join(","));
  const mnist = () => file(`${lines.join("\n")}\n`, "digits.csv");

  it("hold the seed's layout of MNIST", async () => {
    const data = await CsvDataset.read(mnist(), { divisor: 255 });
    expect([data.length, data.features.shape, data.labels.dtype]).toEqual([3000, [3000, 784], "int32"]);
    const [image, label] = data.get(2999);
    expect(label).toBe(digits.labelOf(2999));
    expect(image.mul(255).round().byte().toTypedArray()).toEqual(digits.pixelsOf(2999));
    expect(data.labels.tolist()).toEqual(digits.labels.tolist());
    const [images, labels] = [...new DataLoader(data, { batchSize: 64 })].at(-1)!;
    expect([images.shape, labels.tolist()]).toEqual([[56, 784], digits.labels.slice(0, 2944).tolist()]);
    expect(() => data.get(3000)).toThrow(torch.IndexError);
    const bytes = await CsvDataset.read(mnist(), { dtype: "uint8", nrows: 10 });
    expect(bytes.features.reshape(10, 28, 28).equal(digits.images.slice(0, 0, 10))).toBe(true);
  }, 60_000);

  it("stream the same items, over and over", async () => {
    const stream = new CsvStream(mnist(), { divisor: 255 });
    for (let pass = 0; pass < 2; pass++) {
      let count = 0;
      let sum = 0;
      for await (const [images, labels] of new DataLoader(stream, { batchSize: 500 })) {
        count += images.shape[0] as number;
        sum += labels.sum().item();
      }
      expect([count, sum]).toEqual([3000, digits.labels.sum().item()]);
    }
    expect(() => [...stream]).toThrow("for await");
  }, 60_000);

  it("hold numbers that only come after millions of bytes, each line once", async () => {
    const count = 300_000;
    const text = (...late: string[]): string => {
      const lines = Array.from({ length: count }, (_, i) => `${i % 10},${i % 256},${(i * 7) % 256},100,200`);
      for (const [i, value] of late.entries()) lines[count - 1000 + 100 * i] = `3,${value},1,2,3`;
      return `${lines.join("\n")}\n`;
    };
    const expected = (at: number): number => at % 256;
    for (const late of [["70000"], ["300", "-5"], ["2.5"], ["300", "1e3"]]) {
      const path = file(text(...late));
      const { features, labels } = await CsvDataset.read(path, { dtype: "float64" });
      expect([features.shape, labels.shape]).toEqual([[count, 4], [count]]);
      const first = features.select(1, 0).tolist() as number[];
      for (let i = 0; i < count; i++) {
        const at = (i - (count - 1000)) / 100;
        if (first[i] !== (late[at] === undefined ? expected(i) : Number(late[at]))) expect(first[i]).toBe(expected(i));
      }
      let rows = 0;
      for await (const [batch] of new DataLoader(new CsvStream(path, { dtype: "float64" }), { batchSize: 10_000 })) {
        expect(batch.select(1, 0).tolist()).toEqual(first.slice(rows, rows + 10_000));
        rows += 10_000;
      }
      expect(rows).toBe(count);
    }
    const some = { nrows: count - 500, dtype: "float64" } as const;
    expect((await CsvDataset.read(file(text("70000")), some)).length).toBe(count - 500);
    await expect(CsvDataset.read(file(text("70000", "x")))).rejects.toThrow(`line ${count - 899}, column 2 ("1"): "x"`);
    await expect(CsvDataset.read(file(text("300", "NA")))).rejects.toThrow(`line ${count - 899}, column 2 ("1"): "NA"`);
  }, 120_000);

  it("name line and column of what does not fit", async () => {
    const read = (text: string, options = {}) => CsvDataset.read(file(text), options);
    await expect(read("1,2,3\n4,,6\n")).rejects.toThrow('line 2, column 2 ("1"): nothing is not float32');
    await expect(read("1,2,3\n4,NA,6\n")).rejects.toThrow('line 2, column 2 ("1"): "NA" is not float32');
    await expect(read("1,2,3\n4.5,1,6\n")).rejects.toThrow('line 2, column 1 ("0"): 4.5 is not int32');
    await expect(read("1,2,3\n4,1,256\n", { dtype: "uint8" })).rejects.toThrow(
      'line 2, column 3 ("2"): 256 is not uint8',
    );
    await expect(read("1,2,3\n4,5\n")).rejects.toThrow("line 2: 2 values");
    await expect(read("1,2\n", { label: 2 })).rejects.toThrow("label is column 2");
    await expect(read("1,2\n", { dtype: "uint8", divisor: 255 })).rejects.toThrow("divisor 255 makes fractions");
    expect((await read("16777217,1\n-2147483648,2.5\n")).labels.tolist()).toEqual([16777217, -2147483648]);
    await expect(read("2147483648,1\n")).rejects.toThrow('line 1, column 1 ("0"): 2147483648 is not int32');
    const last = await read("2,7\n4,8\n", { label: 1 });
    expect([last.labels.tolist(), last.features.tolist()]).toEqual([
      [7, 8],
      [[2], [4]],
    ]);
  });
});
