/**
 * `#files` in a browser: a page has no file system, so everything that names a path says so and points at what
 * works there instead (bytes that were fetched). The types are those of `files-node.ts`, so the two cannot part.
 */
import { CressetError } from "../errors.js";
import type * as node from "./files-node.js";

export type { FileAppender, FileReader, FileWriter } from "./files-node.js";

function refuse(what: string): never {
  throw new CressetError(
    `${what}: there are no files in a browser; fetch() the bytes and hand them over (torch.load, deserialize, parseIdx, MNIST.fromBytes)`,
  );
}

export const join: typeof node.join = (...parts) => parts.join("/");
export const basename: typeof node.basename = (path) => path.slice(path.lastIndexOf("/") + 1);
export const openFile: typeof node.openFile = (path) => refuse(`reading ${path}`);
export const readFile: typeof node.readFile = (path) => refuse(`reading ${path}`);
export const writeFileAtomic: typeof node.writeFileAtomic = (path) => refuse(`writing ${path}`);
export const createFile: typeof node.createFile = (path) => refuse(`writing ${path}`);
export const writeFileAtomicFrom: typeof node.writeFileAtomicFrom = (path) => refuse(`writing ${path}`);
export const openAppend: typeof node.openAppend = (path) => refuse(`writing ${path}`);
export const listFolder: typeof node.listFolder = (path) => refuse(`reading the folder ${path}`);
export const exists: typeof node.exists = () => false;
export const fileSize: typeof node.fileSize = () => 0;
export const removeFile: typeof node.removeFile = (path) => refuse(`removing ${path}`);
export const md5: typeof node.md5 = () => refuse("md5");
export const gunzip: typeof node.gunzip = (_bytes, _maxBytes, name) =>
  refuse(`${name} is packed with gzip; unpack it with the browser's DecompressionStream("gzip") first`);
export const environment: typeof node.environment = () => undefined;
export const userDataFolder: typeof node.userDataFolder = () => refuse("the user's data folder");
