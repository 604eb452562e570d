/**
 * Renders the epilogue of a matrix product: a function that the product calls on a block of C which is still in the second-level
 * cache. It is a library of its own, so that a new epilogue compiles in no time, and without contraction, which the product wants:
 * it must give the digits that the same operations give as loops.
 */
import type { Expr, MatmulKernel } from "../ir.js";
import { cScalar, cType, declarationsFor, emitExpr, type Names } from "./expression.js";

/** A block of C, its place in the batch and in C, and the epilogue's arguments. */
const parameters = (t: string): string =>
  `(${t}* c, long C_m, long rows, long columns, long b, long m0, long n0, const double* args)`;
const scalarType = (type: MatmulKernel["type"]): string => (type === "float32" ? "float" : "double");
/** The declaration of a pointer to it. */
export const epiloguePointer = (type: MatmulKernel["type"], name: string): string =>
  `void (*${name})${parameters(scalarType(type))}`;

/** Arguments: for each extra operand its address and its strides along b, m and n; then the scalars. */
export function renderEpilogue({ epilogue, extras, scalars, type }: MatmulKernel): string {
  const t = scalarType(type);
  const declarations = extras.flatMap((_, i) => [
    `${t}* const x${i + 1} = (${t}*)(unsigned long)args[${4 * i}];`,
    ...["b", "m", "n"].map((axis, j) => `const long x${i + 1}_${axis} = (long)args[${4 * i + j + 1}];`),
  ]);
  scalars.forEach((s, i) => {
    declarations.push(`const ${cType[s]} s${i} = ${cScalar(s, `args[${4 * extras.length + i}]`)};`);
  });
  const never = (): string => {
    throw new Error("the epilogue of a matrix product has loads and scalars only");
  };
  const at = (operand: number): string => {
    if (operand === 0) return "to[j]";
    const step = extras[operand - 1];
    return `e${operand}[${step === "unit" ? "j" : step === "uniform" ? "0" : `j * x${operand}_n`}]`;
  };
  const names: Names = { load: at, scalar: (slot) => `s${slot}`, gather: never, index: never, fold: never };
  const lines: string[] = [];
  const done = new Map<Expr, string>();
  const values = epilogue.map((s) => emitExpr(s.value, done, lines, names));
  epilogue.forEach((s, i) => lines.push(`${at(s.operand)} = ${values[i]};`));
  const starts = extras.map((_, i) => {
    const x = `x${i + 1}`;
    return `${t}* const e${i + 1} = ${x} + b * ${x}_b + (m0 + i) * ${x}_m + n0 * ${x}_n;`;
  });
  return `${declarationsFor(epilogue.map((s) => s.value)).join("\n")}
void run${parameters(t)} {
  ${declarations.join("\n  ")}
  for (long i = 0; i < rows; i++) {
    ${t}* const to = c + i * C_m;
    ${starts.join("\n    ")}
    #pragma GCC ivdep
    for (long j = 0; j < columns; j++) {
      ${lines.join("\n      ")}
    }
  }
}
`;
}
