/**
 * Tables from files: CSV, Parquet, JSON lines. DuckDB (`#tables`) does the reading; here are pandas's options, the
 * dtypes that columns get, and errors that name the line and the column.
 */
import { exists, openFile } from "#files";
import { describe, quoteText, type ResultColumn, rows, stream } from "#tables";
import { DataError, FormatError, ValueError } from "../../errors.js";
import { ColumnBuilder, Misfit, type Target } from "./builder.js";
import type { Column, ColumnDType } from "./column.js";

/** pandas's names, in camelCase. */
export interface ReadCsvOptions {
  /** 0 (the default): the first line has the columns' names. null: there is none, and columns are called "0", "1", … */
  header?: 0 | null;
  /** The columns' names, instead of the file's. */
  names?: readonly string[];
  /** What stands between two values; "," by default. */
  sep?: string;
  /** One dtype for all columns, or some columns' by name; the others' are inferred from the first 2,048 lines. */
  dtype?: ColumnDType | Readonly<Record<string, ColumnDType>>;
  /** Texts that stand for a missing value, beside nothing at all. */
  naValues?: readonly string[];
  /** Lines to pass over at the start. */
  skiprows?: number;
  /** How many rows to read; all by default. */
  nrows?: number;
}

/** What pandas takes for missing. "nan" stays a number that is none. */
const missing = ["", "NA", "N/A", "n/a", "NULL", "null", "None", "#N/A", "<NA>"];
const sampled = 2048;

/** A CSV file's columns and the query that reads them. */
export interface CsvPlan {
  readonly path: string;
  readonly sql: string;
  /** The same, with texts such as "NA" taken for missing values: for when `sql` fails over one. */
  readonly careful: string;
  readonly gaps: readonly string[];
  readonly columns: readonly ResultColumn[];
  /** Lines before the first row. */
  readonly before: number;
}

/** Finds out a CSV file's columns, and how each is to be read. */
export async function planCsv(what: string, path: string, options: ReadCsvOptions): Promise<CsvPlan> {
  const { header = 0, names, sep = ",", skiprows = 0, nrows } = options;
  if (sep.length !== 1) throw new ValueError(`${what}: sep is ${JSON.stringify(sep)}; it must be one character`);
  for (const [name, count] of Object.entries({ skiprows, nrows: nrows ?? 0 })) {
    if (!(Number.isSafeInteger(count) && count >= 0))
      throw new ValueError(`${what}: ${name} is ${count}; it counts lines`);
  }
  checkFile(what, path);
  const form = `header=${header === 0}, delim=${quoteText(sep)}, quote='"', escape='"', skip=${skiprows}`;
  const gaps = [...new Set([...missing, ...(options.naValues ?? [])])];
  const na = `nullstr=[${gaps.map(quoteText).join(", ")}]`;
  const found = await sniff(what, path, `${form}, ${na}`, options);
  const unique = uniqueNames(
    names ?? (header === null ? found.map((_, i) => String(i)) : found.map(({ name }) => name)),
  );
  if (unique.length !== found.length) {
    throw new ValueError(`${what}: ${unique.length} names for the ${found.length} columns of ${path}`);
  }
  const asked = options.dtype;
  const chosen = typeof asked === "object" ? asked : {};
  const unknown = Object.keys(chosen).find((name) => !unique.includes(name));
  if (unknown !== undefined)
    throw new ValueError(`${what}: dtype names column "${unknown}"; ${path} has ${listed(unique)}`);
  const columns = unique.map((name, i): ResultColumn => {
    const target = (typeof asked === "string" ? asked : chosen[name]) ?? (found[i] as { target: Target }).target;
    return { name, target, type: readAs(target) };
  });
  const types = columns.map(
    ({ name, target }) => `${quoteText(name)}: '${target === "bool" ? "BOOLEAN" : readAs(target)}'`,
  );
  const limit = nrows === undefined ? "" : ` limit ${nrows}`;
  const source = `select * from read_csv(${quoteText(path)}, auto_detect=false, ${form}, columns={${types.join(", ")}}`;
  // Looking for texts that stand for missing values takes a fifth of the time: numbers are first read without.
  const careful = `${source}, ${na})${limit}`;
  const plain = columns.every(({ target }) => target !== "string" && target !== "int64");
  const sql = plain ? `${source})${limit}` : careful;
  return { path, sql, careful, gaps, columns, before: skiprows + (header === 0 ? 1 : 0) };
}

/** Numbers are read as float64 and narrowed here: the library would round "2.5" where an integer is asked for. */
function readAs(target: Target): string {
  if (target === "string" || target === "int64") return "VARCHAR";
  if (target === "bool") return "UTINYINT";
  return target === "float32" ? "FLOAT" : "DOUBLE";
}

async function sniff(
  what: string,
  path: string,
  form: string,
  { dtype, sep = ",", skiprows = 0, header = 0 }: ReadCsvOptions,
): Promise<{ name: string; target: Target }[]> {
  const first = firstLine(path, skiprows);
  if (first === undefined) throw new FormatError(`${what}: ${path} is empty`);
  const fields = splitLine(first, sep);
  // All dtypes are given, and names are numbers: nothing is left to find out.
  if (typeof dtype === "string" && header === null) return fields.map((_, i) => ({ name: String(i), target: dtype }));
  const found = await rows(
    `select c.name as name, c.type as type from (select unnest(columns) as c from sniff_csv(${quoteText(path)}, sample_size=${sampled}, ${form}))`,
  ).catch(() => undefined);
  // Lines of different lengths stop the library's sniffer; reading then says which line it is.
  if (found === undefined || found.length !== fields.length) return fields.map((name) => ({ name, target: "string" }));
  return found.map(({ type }, i) => ({ name: fields[i] as string, target: inferred(String(type)) }));
}

const numeric = new Set(["BIGINT", "DOUBLE", "INTEGER", "HUGEINT", "FLOAT"]);
const inferred = (type: string): Target => (type === "BOOLEAN" ? "bool" : numeric.has(type) ? "number" : "string");

/** Every column of a plan, whole. */
export async function readPlan(what: string, plan: CsvPlan): Promise<{ columns: Column[]; length: number }> {
  try {
    return await collect(plan.sql, plan.columns);
  } catch (error) {
    const gap = plan.sql !== plan.careful && plan.gaps.includes(refused(error)?.text as string);
    if (gap) return readPlan(what, { ...plan, sql: plan.careful });
    throw explain(what, plan, error);
  }
}

/** The value that the library could not convert. */
function refused(error: unknown): { column: string; text: string; type: string } | undefined {
  const found = /Error when converting column "(.*?)"\. Could not convert string "(.*)" to '(\w+)'/s.exec(
    String(error),
  );
  return found === null
    ? undefined
    : { column: found[1] as string, text: found[2] as string, type: found[3] as string };
}

/** A failed reading as an error with line and column. */
export function explain(what: string, { path, columns, before }: CsvPlan, error: unknown): unknown {
  if (error instanceof Misfit) {
    const place = columnAt(columns, error.column);
    return new FormatError(
      `${what}: ${path}, line ${lineOf(path, error.row, before)}, ${place}: ${error.value} is not ${error.dtype}`,
    );
  }
  return explainLibrary(what, path, columns, error);
}

const columnAt = (columns: readonly ResultColumn[], name: string): string =>
  `column ${columns.findIndex((column) => column.name === name) + 1} ("${name}")`;

function explainLibrary(what: string, path: string, columns: readonly ResultColumn[], error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message } = error;
  const line = /CSV Error on Line: (\d+)/.exec(message)?.[1];
  const counts = /Expected Number of Columns: (\d+) Found: (\d+)/.exec(message);
  if (line !== undefined && counts !== null) {
    return new FormatError(
      `${what}: ${path}, line ${line}: ${counts[2]} values, where the first line has ${counts[1]}`,
      {
        cause: error,
      },
    );
  }
  const value = refused(error);
  if (line !== undefined && value !== undefined) {
    const target = columns.find((column) => column.name === value.column)?.target;
    const wanted = target === "number" ? "a number, as the lines before it have" : (target ?? value.type);
    return new FormatError(
      `${what}: ${path}, line ${line}, ${columnAt(columns, value.column)}: ${JSON.stringify(value.text)} is not ${wanted}`,
      { cause: error },
    );
  }
  const first = message.split("\n").slice(0, 2).join(" ").trim();
  return /^(Invalid Input|Conversion|IO|Parser|Binder|Serialization|Not implemented|Out of Range)/.test(message)
    ? new FormatError(`${what}: ${path}: ${first}`, { cause: error })
    : error;
}

/** Every column of a Parquet or JSON file. */
export async function readOther(
  what: string,
  path: string,
  reader: string,
): Promise<{ columns: Column[]; length: number }> {
  checkFile(what, path);
  const sql = `select * from ${reader}`;
  try {
    const columns = await describe(sql);
    // JSON does not tell integers' sizes: those that fit are int32, as everywhere here.
    const narrowed = columns.map((column) =>
      reader.startsWith("read_json") && column.type === "BIGINT"
        ? { ...column, type: "DOUBLE", target: "number" as const }
        : column,
    );
    return await collect(sql, narrowed);
  } catch (error) {
    throw explainLibrary(what, path, [], error);
  }
}

/** A query's result, whole. */
export async function collect(
  sql: string,
  columns: readonly ResultColumn[],
  from: typeof stream = stream,
): Promise<{ columns: Column[]; length: number }> {
  const builders = columns.map(({ name, target }) => new ColumnBuilder(name, target));
  let length = 0;
  for await (const batch of from(sql, columns)) {
    for (const [i, builder] of builders.entries()) builder.append(batch.piece(i), batch.length);
    length += batch.length;
  }
  return { columns: builders.map((builder) => builder.finish()), length };
}

function checkFile(what: string, path: string): void {
  if (!exists(path)) throw new DataError(`${what}: there is no file ${path}`);
  // The library reads patterns; a name that is one would read other files.
  if (/[*?[\]{}]/.test(path))
    throw new ValueError(`${what}: the path ${path} has one of * ? [ ] { }, which is a pattern`);
  openFile(path).close();
}

/** How much of a file is looked at to find the end of its first line. */
const headBytes = 1 << 22;

function firstLine(path: string, skip: number): string | undefined {
  const file = openFile(path);
  try {
    const text = new TextDecoder().decode(file.read(0, Math.min(file.size, headBytes)));
    return linesOf(text.replace(/^\uFEFF/, ""))
      .slice(skip)
      .find((line) => line !== "");
  } finally {
    file.close();
  }
}

const linesOf = (text: string): string[] =>
  text.match(/(?:"(?:[^"]|"")*"|[^"\n])+/g)?.map((line) => line.replace(/\r$/, "")) ?? [];

function splitLine(line: string, sep: string): string[] {
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (const character of line) {
    if (character === '"') quoted = !quoted;
    if (character === sep && !quoted) {
      fields.push(field);
      field = "";
    } else field += character;
  }
  return [...fields, field].map((text) => text.replace(/^"(.*)"$/s, "$1").replaceAll('""', '"'));
}

/** The line on which row `row` begins: lines without anything are no rows. Only read when something is wrong. */
function lineOf(path: string, row: number, before: number): number {
  const file = openFile(path);
  try {
    let line = 1;
    let rest = row + before;
    let blank = true;
    let quoted = false;
    for (let at = 0; at < file.size; at += headBytes) {
      for (const byte of file.read(at, Math.min(headBytes, file.size - at))) {
        if (byte === 0x22) quoted = !quoted;
        if (byte === 0x0a) {
          if (!blank && !quoted && rest-- === 0) return line;
          line++;
          blank = !quoted;
        } else if (byte !== 0x0d) blank = false;
      }
    }
    return line;
  } finally {
    file.close();
  }
}

/** As pandas does: a name that is taken gets a number. */
function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let i = 1; taken.has(unique); i++) unique = `${name}.${i}`;
    taken.add(unique);
    return unique;
  });
}

const listed = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(", ")}, … (${names.length})` : names.join(", ");
