/**
 * Tables from files: CSV, Parquet, JSON lines. DuckDB (`#tables`) does the reading; here are pandas's options, the
 * dtypes that columns get, and errors that name the line and the column.
 */
import { exists, fileSize, openFile } from "#files";
import { describe, hasDigitsOnly, quoteText, type ResultColumn, rows, stream } from "#tables";
import { checkOptions, checkPath, inWords, refuseArgument } from "../../arguments.js";
import { DataError, FormatError, ValueError } from "../../errors.js";
import { ColumnBuilder, integers, Misfit, type Target } from "./builder.js";
import { type Column, type ColumnDType, columnDTypes } from "./column.js";

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
  readonly columns: readonly ResultColumn[];
  /** Another way to read the same, for when `sql` fails over a value. */
  readonly next: { readonly plan: CsvPlan; readonly after: (value: string) => boolean } | null;
  /** Lines before the first row. */
  readonly before: number;
  /** About how many rows there are. */
  readonly rows: number;
}

/** Finds out a CSV file's columns, and how each is to be read; `label`, where it is given, as int32. */
export async function planCsv(what: string, path: string, options: ReadCsvOptions, label = -1): Promise<CsvPlan> {
  checkPath(what, path);
  checkOptions(what, options);
  const { header = 0, names, sep = ",", skiprows = 0, nrows } = options;
  if (header !== 0 && header !== null) refuseArgument(what, "header", header, "0 or null");
  if (typeof sep !== "string" || sep.length !== 1)
    throw new ValueError(`${what}: sep is ${JSON.stringify(sep)}; it must be one character`);
  for (const [name, count] of Object.entries({ skiprows, nrows: nrows ?? 0 })) {
    if (!(Number.isSafeInteger(count) && count >= 0))
      throw new ValueError(`${what}: ${name} is ${inWords(count)}; it counts lines`);
  }
  checkFile(what, path);
  const form = `header=${header === 0}, delim=${quoteText(sep)}, quote='"', escape='"', skip=${skiprows}`;
  const gaps = [...new Set([...missing, ...(options.naValues ?? [])])];
  const na = `nullstr=[${gaps.map(quoteText).join(", ")}]`;
  const first = headOf(path, skiprows);
  if (first === undefined) throw new FormatError(`${what}: ${path} is empty`);
  const before = skiprows + (header === 0 ? 1 : 0);
  const sniffing = sniff(path, `${form}, ${na}`, first, options);
  // Done here while the library finds out types on a thread of its own; not for a few lines of a large file.
  const one = typeof options.dtype === "string" ? options.dtype : "number";
  const digits = nrows === undefined && counts.has(one) && hasDigitsOnly(path, before);
  const found = await sniffing;
  const unique = uniqueNames(
    names ?? (header === null ? found.map((_, i) => String(i)) : found.map(({ name }) => name)),
  );
  if (unique.length !== found.length) {
    throw new ValueError(`${what}: ${unique.length} names for the ${found.length} columns of ${path}`);
  }
  const asked = options.dtype;
  for (const dtype of typeof asked === "object" ? Object.values(asked) : [asked ?? "string"]) {
    if (!columnDTypes.includes(dtype)) refuseArgument(what, "dtype", dtype, columnDTypes.join(", "));
  }
  const chosen = typeof asked === "object" ? asked : {};
  const unknown = Object.keys(chosen).find((name) => !unique.includes(name));
  if (unknown !== undefined)
    throw new ValueError(`${what}: dtype names column "${unknown}"; ${path} has ${listed(unique)}`);
  const named = (name: string): ColumnDType | undefined =>
    typeof asked === "string" ? asked : Object.hasOwn(chosen, name) ? chosen[name] : undefined;
  const targets = unique.map(
    (name, i): Target => (i === label ? "int32" : (named(name) ?? (found[i] as { target: Target }).target)),
  );
  const limit = nrows === undefined ? "" : ` limit ${nrows}`;
  const perRow = first.bytes / Math.max(1, first.lines);
  const rows = Math.min(nrows ?? Number.POSITIVE_INFINITY, Math.ceil((fileSize(path) / perRow) * 1.02));
  const reading = (typeOf: (target: Target) => string, more: string, next: CsvPlan["next"]): CsvPlan => {
    const columns = unique.map((name, i): ResultColumn => {
      const target = targets[i] as Target;
      return { name, source: sourceOf(i), target, type: typeOf(target) };
    });
    // The file's own names may be empty, or differ in case alone.
    const types = columns.map(({ target, type }, i) => `${sourceOf(i)}: '${target === "bool" ? "BOOLEAN" : type}'`);
    const source = `read_csv(${quoteText(path)}, auto_detect=false, ${form}, columns={${types.join(", ")}}${more})`;
    return { path, sql: `select * from ${source}${limit}`, columns, next, before, rows };
  };
  const careful = reading(readAs, `, ${na}`, null);
  if (targets.some((target) => target === "string" || target === "int64")) return careful;
  // Looking for texts that stand for missing values takes a fifth of the time: numbers are first read without.
  const plain = reading(readAs, "", { plan: careful, after: (value) => gaps.includes(value) });
  if (!digits) return plain;
  const whole = (type: string, held: ReadonlySet<Target>, next: CsvPlan): CsvPlan =>
    targets.some((target) => held.has(target))
      ? reading((target) => (held.has(target) ? type : readAs(target)), "", { plan: next, after: () => true })
      : next;
  const large = whole("INTEGER", integers, plain);
  // What the file's first bytes need is as a rule what all of it needs.
  if (first.largest < 0x100 && !first.negative) return whole("UTINYINT", counts, large);
  return first.largest < 0x8000 ? whole("SMALLINT", integers, large) : large;
}

/** Targets that hold every byte. Where nothing can be rounded, numbers are read in few bytes: in less memory, and sooner. */
const counts: ReadonlySet<Target> = new Set([...integers, "float32", "float64"]);

const sourceOf = (column: number): string => `column_${column}`;

/** Numbers are read as float64 and narrowed here: the library would round "2.5" where an integer is asked for. */
function readAs(target: Target): string {
  if (target === "string" || target === "int64") return "VARCHAR";
  if (target === "bool") return "UTINYINT";
  return target === "float32" ? "FLOAT" : "DOUBLE";
}

async function sniff(
  path: string,
  form: string,
  first: Head,
  { dtype, sep = ",", header = 0 }: ReadCsvOptions,
): Promise<{ name: string; target: Target }[]> {
  const fields = splitLine(first.line, sep);
  // All dtypes are given, and names are numbers: nothing is left to find out.
  if (typeof dtype === "string" && header === null) return fields.map((_, i) => ({ name: String(i), target: dtype }));
  if (hasCounts(first, fields.length, sep, header)) return fields.map((name) => ({ name, target: "number" }));
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
export async function readPlan(what: string, plan: CsvPlan): Promise<Collected> {
  try {
    return await collect(plan.sql, plan.columns, plan.rows);
  } catch (error) {
    const next = otherWay(plan, error);
    if (next !== undefined) return readPlan(what, next);
    throw explain(what, plan, error);
  }
}

/** How to read what a plan failed over, if it was a value and there is another way. */
export function otherWay({ next }: CsvPlan, error: unknown): CsvPlan | undefined {
  const value = refused(error)?.text;
  return value !== undefined && next?.after(value) ? next.plan : undefined;
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
    const place = columnAt(columns, (column) => column.name === error.column);
    return new FormatError(
      `${what}: ${path}, line ${lineOf(path, error.row, before)}, ${place}: ${error.value} is not ${error.dtype}`,
    );
  }
  return explainLibrary(what, path, columns, error);
}

function columnAt(columns: readonly ResultColumn[], is: (column: ResultColumn) => boolean): string {
  const at = columns.findIndex(is);
  return `column ${at + 1} ("${columns[at]?.name}")`;
}

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
    const is = ({ name, source }: ResultColumn): boolean => (source ?? name) === value.column;
    const target = columns.find(is)?.target;
    const wanted = target === "number" ? "a number, as the lines before it have" : (target ?? value.type);
    return new FormatError(
      `${what}: ${path}, line ${line}, ${columnAt(columns, is)}: ${JSON.stringify(value.text)} is not ${wanted}`,
      { cause: error },
    );
  }
  if (/unicode|utf-?8/i.test(message)) return new FormatError(`${what}: ${notUtf8(path)}`, { cause: error });
  const first = message.split("\n").slice(0, 2).join(" ").trim();
  return /^(Invalid Input|Conversion|IO|Parser|Binder|Serialization|Not implemented|Out of Range)/.test(message)
    ? new FormatError(`${what}: ${path}: ${first}`, { cause: error })
    : error;
}

/** Every column of a Parquet or JSON file. */
export async function readOther(
  what: string,
  path: string,
  reader: "read_parquet" | "read_json",
  settings = "",
): Promise<{ columns: Column[]; length: number }> {
  checkPath(what, path);
  checkFile(what, path);
  const sql = `select * from ${reader}(${quoteText(path)}${settings})`;
  try {
    const columns = await describe(sql);
    // JSON does not tell integers' sizes: those that fit are int32, as everywhere here.
    const narrowed = columns.map((column) =>
      reader === "read_json" && column.type === "BIGINT"
        ? { ...column, type: "DOUBLE", target: "number" as const }
        : column,
    );
    const read = await collect(sql, narrowed, 0);
    if (read.rounded.length === 0) return read;
    const exact = columns.map((column, i) =>
      read.rounded.includes(column.name) ? column : (narrowed[i] as ResultColumn),
    );
    return await collect(sql, exact, 0);
  } catch (error) {
    throw explainLibrary(what, path, [], error);
  }
}

interface Collected {
  readonly columns: Column[];
  readonly length: number;
  /** Columns of whole numbers so large that float64 does not hold their last digits. */
  readonly rounded: readonly string[];
}

/** A query's result, whole. `rows` is about how many there are, or 0. */
export async function collect(
  sql: string,
  columns: readonly ResultColumn[],
  rows: number,
  from: typeof stream = stream,
): Promise<Collected> {
  const builders = columns.map(({ name, target }) => new ColumnBuilder(name, target, rows));
  let length = 0;
  for await (const batch of from(sql, columns)) {
    for (const [i, builder] of builders.entries()) builder.append(batch.piece(i), batch.length);
    length += batch.length;
  }
  const rounded = builders.filter((builder) => builder.rounded).map(({ name }) => name);
  return { columns: builders.map((builder) => builder.finish()), length, rounded };
}

function checkFile(what: string, path: string): void {
  if (!exists(path)) throw new DataError(`${what}: there is no file ${path}`);
  // The library reads patterns; a name that is one would read other files.
  if (/[*?[\]{}]/.test(path))
    throw new ValueError(`${what}: the path ${path} has one of * ? [ ] { }, which is a pattern`);
  openFile(path).close();
}

/** How much of a file is looked at before the library is asked. */
const headBytes = 1 << 22;

function textOf(bytes: Uint8Array, path: string): string {
  try {
    // The last character may be cut off.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
  } catch (error) {
    throw new FormatError(notUtf8(path), { cause: error });
  }
}
const notUtf8 = (path: string): string => `${path}: is not UTF-8; save it as such (in Excel: "CSV UTF-8")`;

/** What the first bytes of a file show: how many lines, the largest run of digits as a number, whether there is a minus. */
interface Head {
  readonly text: string;
  /** Whether that is all of the file. */
  readonly complete: boolean;
  /** The first line that is not passed over, and where it begins. */
  readonly line: string;
  readonly start: number;
  readonly bytes: number;
  readonly lines: number;
  readonly largest: number;
  readonly negative: boolean;
}

function headOf(path: string, skip: number): Head | undefined {
  const file = openFile(path);
  try {
    const bytes = file.read(0, Math.min(file.size, headBytes));
    let [lines, largest, number, negative] = [0, 0, 0, false];
    for (const byte of bytes) {
      const digit = byte - 0x30;
      number = digit >= 0 && digit < 10 ? number * 10 + digit : 0;
      if (number > largest) largest = number;
      if (byte === 0x0a) lines++;
      else if (byte === 0x2d) negative = true;
    }
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) throw new FormatError(`${path}: is packed with gzip; unpack it first`);
    if (bytes.includes(0)) {
      const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
      throw new FormatError(`${path}: ${utf16 ? "is UTF-16; save it as UTF-8" : "is no text: it has a zero byte"}`);
    }
    const text = textOf(bytes, path);
    let rest = skip;
    for (const { 0: line, index: start } of text.matchAll(/(?:"(?:[^"]|"")*"|[^"\r\n])+/g)) {
      const complete = bytes.length === file.size;
      if (rest-- <= 0) return { text, complete, line, start, bytes: bytes.length, lines, largest, negative };
    }
    return undefined;
  } finally {
    file.close();
  }
}

/**
 * Whether the lines that types are inferred from hold nothing but whole numbers in digits; such as have leading zeros are
 * texts to the library. It would find the same, in half a second for 785 columns.
 */
function hasCounts({ text, complete, line, start }: Head, fields: number, sep: string, header: 0 | null): boolean {
  const number = "(?:0|[1-9]\\d{0,8})";
  const between = `[${sep.replace(/[\\\]^-]/, "\\$&")}]`;
  const row = new RegExp(`(?:\\r?\\n)?${number}(?:${between}${number}){${fields - 1}}(?=[\\r\\n]|$)`, "y");
  row.lastIndex = start + (header === 0 ? line.length : 0);
  for (let count = 0; count < sampled; count++) {
    const at = row.lastIndex;
    if (!row.test(text)) return complete && count > 0 && /^\s*$/.test(text.slice(at));
  }
  return true;
}

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

/** As pandas does: a name that is taken gets a number, and so does a column without one. */
function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((given, at) => {
    const name = given === "" ? `Unnamed: ${at}` : given;
    let unique = name;
    for (let i = 1; taken.has(unique); i++) unique = `${name}.${i}`;
    taken.add(unique);
    return unique;
  });
}

const listed = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(", ")}, … (${names.length})` : names.join(", ");
