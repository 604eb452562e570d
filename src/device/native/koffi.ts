/**
 * The foreign-function library, taken from its platform package: those are plain files, without an install script. Only
 * what the engine calls is typed here.
 */
import { createRequire } from "node:module";
import { DeviceError } from "../../errors.js";

export interface NativeLibrary {
  func(declaration: string): (...args: never[]) => unknown;
}
export interface Koffi {
  load(path: string): NativeLibrary;
}

export function loadKoffi(): Koffi {
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  try {
    return createRequire(import.meta.url)(name) as Koffi;
  } catch (cause) {
    throw new DeviceError(`native engine: ${name} is not installed or does not load on this platform`, { cause });
  }
}
