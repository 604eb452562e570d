/**
 * DuckDB under the tables, in Node: reads and writes files, answers SQL. The package's `#tables` import picks this file
 * in Node and `duckdb-browser.ts` elsewhere. It is loaded when a table is first read, and knows bytes and columns; what
 * a user sees is left to `read.ts` and `data-frame.ts`.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import type { DuckDBConnection, DuckDBDataChunk, DuckDBInstance } from "@duckdb/node-api";
import type Bindings from "@duckdb/node-bindings";
import { DataError, ValueError } from "../../errors.js";
import type { Piece, Target } from "./builder.js";
import type { Column } from "./column.js";

/** As much of the library's connection as is used elsewhere: its own types are not there where it is not installed. */
export interface Connection {
  run(sql: string): Promise<unknown>;
}
/** Column i of a chunk, as `kinds[i]` says. */
export interface Batch {
  readonly length: number;
  piece(column: number): Piece;
}
/** How DuckDB hands a column over, after a cast where it has a type of its own. */
export interface ResultColumn {
  readonly name: string;
  /** What it is in the query, where that is not its name. */
  readonly source?: string;
  readonly type: string;
  readonly target: Target;
}

const arrays = {
  UTINYINT: Uint8Array,
  TINYINT: Int8Array,
  SMALLINT: Int16Array,
  INTEGER: Int32Array,
  BIGINT: BigInt64Array,
  FLOAT: Float32Array,
  DOUBLE: Float64Array,
} as const;
type Numeric = keyof typeof arrays;

interface Library {
  readonly instance: DuckDBInstance;
  readonly connection: DuckDBConnection;
  readonly bindings: typeof Bindings;
  readonly api: typeof import("@duckdb/node-api");
}
let opened: Promise<Library> | undefined;

function library(): Promise<Library> {
  opened ??= open().catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function open(): Promise<Library> {
  try {
    // Its hundred CommonJS files take `import` twice as long.
    const require = createRequire(import.meta.url);
    const api = require("@duckdb/node-api") as typeof import("@duckdb/node-api");
    // Whole columns as bytes are in the lower package, which comes with this one.
    const beside = createRequire(require.resolve("@duckdb/node-api"));
    const bindings = beside("@duckdb/node-bindings") as typeof Bindings;
    // A file must not make the library fetch anything.
    const settings = { autoinstall_known_extensions: "false", autoload_known_extensions: "false" };
    const instance = await api.DuckDBInstance.create(":memory:", settings);
    return { instance, connection: await instance.connect(), bindings, api };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") {
      throw new DataError("tables in files are read by DuckDB, which is not installed: npm install @duckdb/node-api", {
        cause: error,
      });
    }
    throw error;
  }
}

/** The library's own object: a connection to the database in memory that everything here uses, for the user. */
export const connection = async (): Promise<Connection> => (await library()).connection;

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Runs `work` on a connection of its own: a result that is still read, and temporary tables, belong to one. */
async function connected<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const own = await (await library()).instance.connect();
  try {
    return await work(own);
  } finally {
    own.closeSync();
  }
}

const rowsOn = async (own: DuckDBConnection, sql: string): Promise<Record<string, unknown>[]> =>
  (await own.runAndReadAll(sql)).getRowObjectsJson() as Record<string, unknown>[];

/** The rows of a small result as JavaScript's values. */
export const rows = (sql: string): Promise<Record<string, unknown>[]> => connected((own) => rowsOn(own, sql));

const describeOn = async (own: DuckDBConnection, sql: string): Promise<ResultColumn[]> =>
  (await rowsOn(own, `describe ${sql}`)).map(({ column_name, column_type }) =>
    resultColumn(String(column_name), String(column_type)),
  );

/** What a query gives, and for each column what it is cast to on the way here. */
export const describe = (sql: string): Promise<ResultColumn[]> => connected((own) => describeOn(own, sql));

function resultColumn(name: string, type: string): ResultColumn {
  switch (type) {
    case "BOOLEAN":
      return { name, type: "UTINYINT", target: "bool" };
    case "UTINYINT":
      return { name, type, target: "uint8" };
    case "TINYINT":
      return { name, type, target: "int8" };
    case "SMALLINT":
      return { name, type, target: "int16" };
    case "USMALLINT":
    case "INTEGER":
      return { name, type: "INTEGER", target: "int32" };
    case "UINTEGER":
    case "BIGINT":
      return { name, type: "BIGINT", target: "int64" };
    case "FLOAT":
      return { name, type, target: "float32" };
    case "DOUBLE":
    case "UBIGINT":
    case "HUGEINT":
    case "UHUGEINT":
      return { name, type: "DOUBLE", target: "float64" };
    default: {
      if (type.startsWith("DECIMAL")) return { name, type: "DOUBLE", target: "float64" };
      // Structures and lists as JSON: the library's own text of them is not.
      const nested = /^(STRUCT|MAP|UNION)\(|\]$/.test(type);
      return { name, type: "VARCHAR", target: "string", ...(nested ? { source: `to_json(${quoteName(name)})` } : {}) };
    }
  }
}

/** A query's rows, a few thousand at a time, in order. */
export async function* stream(sql: string, columns: readonly ResultColumn[]): AsyncGenerator<Batch> {
  const own = await (await library()).instance.connect();
  try {
    // What may be read ahead, so that it parses while columns are copied: a batch of a wide table takes megabytes.
    await own.run("set streaming_buffer_size = '64MB'");
    yield* streamOn(own, sql, columns);
  } finally {
    own.closeSync();
  }
}

/**
 * A stream that fails half-way ends without a word: the binding has no call that tells. But its transaction is then aborted. The
 * error itself is found by running the same once more.
 */
async function* streamOn(own: DuckDBConnection, sql: string, columns: readonly ResultColumn[]): AsyncGenerator<Batch> {
  const { bindings } = await library();
  const list = columns.map(({ name, type, source }) => `cast(${source ?? quoteName(name)} as ${type})`);
  let complete = false;
  await own.run("begin transaction");
  try {
    const result = await own.stream(`select ${list.join(", ")} from (${sql})`);
    for (;;) {
      const chunk = await result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) break;
      yield { length: chunk.rowCount, piece: (i) => pieceOf(chunk, i, (columns[i] as ResultColumn).type, bindings) };
    }
    complete = await own.run("select 1").then(
      () => true,
      () => false,
    );
  } finally {
    await own.run("rollback");
  }
  if (complete) return;
  await own.run(`select ${list.map((value) => `count(${value})`).join(", ")} from (${sql})`);
  throw new DataError("tables: DuckDB ended before its last row, and does not say why");
}

function pieceOf(chunk: DuckDBDataChunk, column: number, type: string, bindings: typeof Bindings): Piece {
  const count = chunk.rowCount;
  if (type === "VARCHAR") {
    const values = chunk.getColumnValues(column) as (string | null)[];
    const valid = values.includes(null) ? Uint8Array.from(values, (value) => (value === null ? 0 : 1)) : null;
    return { data: values.map((value) => value ?? ""), valid };
  }
  const vector = bindings.data_chunk_get_vector(chunk.chunk, column);
  const Values = arrays[type as Numeric];
  const bytes = bindings.vector_get_data(vector, count * Values.BYTES_PER_ELEMENT);
  const data = new Values(bytes.buffer as ArrayBuffer, bytes.byteOffset, count);
  // Bit i of the mask is 1 where row i has a value; there is no mask where all have one.
  const mask = bindings.vector_get_validity(vector, Math.ceil(count / 64) * 8) as Uint8Array | null;
  if (mask === null || isFull(mask, count)) return { data, valid: null };
  const valid = new Uint8Array(count);
  for (let i = 0; i < count; i++) valid[i] = ((mask[i >> 3] as number) >> (i & 7)) & 1;
  return { data, valid };
}

function isFull(mask: Uint8Array, count: number): boolean {
  for (let i = 0; i < count >> 3; i++) if (mask[i] !== 255) return false;
  const rest = (1 << (count & 7)) - 1;
  return ((mask[count >> 3] ?? 0) & rest) === rest;
}

/** What a number has that is not whole, or not decimal. */
const marks = [".", "e", "E", "x", "X", "b", "B", "_"].map((mark) => mark.charCodeAt(0));

/**
 * Whether every number of a CSV file is written with digits alone, so that the library can read it as an integer: it
 * would round "2.5" without a word. Looks no further than the first other mark.
 */
export function hasDigitsOnly(path: string, header: number): boolean {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(1 << 20);
    let lines = header;
    for (let count = readSync(file, bytes); count > 0; count = readSync(file, bytes)) {
      let start = 0;
      // Either character may end a line; to count both looks at more than is needed, never at less.
      for (; lines > 0 && start < count; start++) if (bytes[start] === 0x0a || bytes[start] === 0x0d) lines--;
      if (lines > 0) continue;
      const part = bytes.subarray(start, count);
      if (marks.some((mark) => part.includes(mark))) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}

const typeOf = {
  bool: "BOOLEAN",
  uint8: "UTINYINT",
  int8: "TINYINT",
  int16: "SMALLINT",
  int32: "INTEGER",
  int64: "BIGINT",
  float32: "FLOAT",
  float64: "DOUBLE",
  string: "VARCHAR",
} as const;

/** Rows of a chunk: what DuckDB takes at once. */
const chunkRows = 2048;

/** What can be done with a table while it is there. */
export interface TableWork {
  run(sql: string): Promise<unknown>;
  describe(sql: string): Promise<ResultColumn[]>;
  stream(sql: string, columns: readonly ResultColumn[]): AsyncGenerator<Batch>;
}

/** Makes a table of columns and runs `work` on the connection that has it. */
export function withTable<T>(
  name: string,
  columns: readonly Column[],
  length: number,
  work: (table: TableWork) => Promise<T>,
): Promise<T> {
  const seen = new Map<string, string>();
  for (const column of columns) {
    const key = column.name.toLowerCase();
    if (column.name === "") throw new ValueError("DataFrame: a column has no name, which SQL and files need");
    const other = seen.get(key);
    if (other !== undefined)
      throw new ValueError(
        `DataFrame: columns "${other}" and "${column.name}" have one name in SQL, where case does not count`,
      );
    seen.set(key, column.name);
  }
  return connected(async (own) => {
    const { api } = await library();
    const list = columns.map((column) => `${quoteName(column.name)} ${typeOf[column.dtype]}`);
    await own.run(`create temp table ${quoteName(name)} (${list.join(", ")})`);
    const appender = await own.createAppender(name, null, "temp");
    const types = columns.map(({ dtype }) => api[typeOf[dtype]]);
    for (let start = 0; start < length; start += chunkRows) {
      const count = Math.min(chunkRows, length - start);
      const chunk = api.DuckDBDataChunk.create(types, count);
      chunk.setColumns(columns.map((column) => valuesOf(column, start, count)));
      appender.appendDataChunk(chunk);
    }
    appender.closeSync();
    return work({
      run: (sql) => own.run(sql),
      describe: (sql) => describeOn(own, sql),
      stream: (sql, chosen) => streamOn(own, sql, chosen),
    });
  });
}

function valuesOf(
  { data, dtype, valid }: Column,
  start: number,
  count: number,
): (number | bigint | string | boolean | null)[] {
  return Array.from({ length: count }, (_, i) => {
    if (valid !== null && valid[start + i] === 0) return null;
    const value = data[start + i] as number | bigint | string;
    return dtype === "bool" ? value !== 0 : value;
  });
}
