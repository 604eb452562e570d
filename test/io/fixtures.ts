/** The files that numpy and PyTorch made (test/fixtures/files.py), and files spoilt at random. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FormatError } from "cresset";
import fc from "fast-check";
import { expect } from "vitest";

export const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/files/${name}`, import.meta.url));
export const fixtureBytes = (name: string): Uint8Array => new Uint8Array(readFileSync(fixture(name)));

/** Cuts a good file or changes bytes of it: reading gives values or a FormatError, and nothing else. */
export async function expectFormatErrorsOnly(
  good: Uint8Array,
  read: (bytes: Uint8Array) => unknown,
  numRuns = 300,
): Promise<void> {
  const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), fc.boolean(), async (changes, cut) => {
      const bytes = Uint8Array.from(cut ? good.subarray(0, changes[0]?.[0]) : good);
      if (!cut) for (const [place, by] of changes) bytes[place] = (bytes[place] as number) ^ by;
      try {
        await read(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
    { numRuns },
  );
}
