/** Libraries that draw are loaded when a figure is first drawn, and named when they are not there. */
import { DataError } from "../errors.js";

/** Runs a dynamic import; `packages` is what to install where it fails for want of them. */
export async function optional<T>(what: string, packages: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const code = (error as { code?: string }).code;
    const absent =
      code === "ERR_MODULE_NOT_FOUND" ||
      code === "MODULE_NOT_FOUND" ||
      /optional peer|Cannot find package|Failed to resolve/i.test(String(error));
    if (!absent) throw error;
    throw new DataError(`${what}: not installed; npm install ${packages}`, { cause: error });
  }
}
