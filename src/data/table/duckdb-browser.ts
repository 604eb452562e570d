/** `#tables` in a browser: frames work there, files of tables are read in Node. The types are those of `duckdb-node.ts`. */
import { CressetError } from "../../errors.js";
import type * as node from "./duckdb-node.js";

export type { Batch, Connection, ResultColumn, TableWork } from "./duckdb-node.js";

function refuse(): never {
  throw new CressetError(
    "tables in files are read and queried in Node; in a browser make a DataFrame of rows, columns or a tensor",
  );
}

export const connection: typeof node.connection = refuse;
export const hasDigitsOnly: typeof node.hasDigitsOnly = refuse;
export const quoteName: typeof node.quoteName = refuse;
export const quoteText: typeof node.quoteText = refuse;
export const rows: typeof node.rows = refuse;
export const describe: typeof node.describe = refuse;
export const stream: typeof node.stream = refuse;
export const withTable: typeof node.withTable = refuse;
