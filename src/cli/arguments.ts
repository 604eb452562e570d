/**
 * Values of options: read, checked, and, where one is mistyped, what was probably meant.
 */
import { InvalidArgumentError, Option } from "commander";

export const wholeNumber = (least: number) => (text: string) => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least)
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`);
  return value;
};

export const positiveNumber = (text: string) => {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
};

export const indices = (text: string, before: number[] | undefined) => [...(before ?? []), wholeNumber(0)(text)];

/** An option with a few values. A value that is none of them is an error with the nearest one, as for mistyped commands. */
export function choice(flags: string, description: string, values: readonly string[], initial: string): Option {
  const option = new Option(flags, description).choices(values).default(initial);
  return option.argParser((text: string) => {
    if (values.includes(text)) return text;
    const near = nearest(text, values);
    const hint = near === undefined ? "" : ` (Did you mean ${near}?)`;
    throw new InvalidArgumentError(`Allowed choices are ${values.join(", ")}.${hint}`);
  });
}

/** The value that begins alike or is at most two letters away. */
export function nearest(text: string, values: readonly string[]): string | undefined {
  const given = text.toLowerCase();
  const begun = values.filter((value) => given !== "" && (value.startsWith(given) || given.startsWith(value)));
  if (begun.length === 1) return begun[0];
  const ranked = values
    .map((value) => ({ value, away: distance(given, value) }))
    .sort((a, b) => a.away - b.away)
    .filter(({ value, away }) => away <= 2 && away < value.length);
  return ranked[0]?.value;
}

/** How many letters must be put in, taken out or changed (Levenshtein, 1966). */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const row = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const change = (above[j] as number) + (a[i] === b[j] ? 0 : 1);
      row.push(Math.min(change, (above[j + 1] as number) + 1, (row[j] as number) + 1));
    }
    above = row;
  }
  return above[b.length] as number;
}
