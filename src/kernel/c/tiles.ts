/**
 * Maps over two axes or more with operands that have a stride along the vector axis, as a transposed or mirrored matrix: tiles
 * of these operands are turned in the cache, so that each of their cache lines is fetched once.
 */
import { bytesOf, type StorageType, topological } from "../ir.js";
import { lanesOf, transpose, vectorTypes } from "./micro.js";
import type { LoopNest, Range } from "./nest.js";

/** Units and elements of a tile. */
const tileRows = 64;
const tileColumns = 64;

/** Operands read with a stride along the vector axis, where another axis may be the one they lie in order along. */
export function turned({ kernel, serial }: LoopNest): ReadonlySet<number> {
  const found = new Set<number>();
  if (serial) return found;
  for (const e of topological(kernel.stores.map((s) => s.value))) {
    if (e.op === "load" && kernel.operands[e.slot]?.step === "strided") found.add(e.slot);
  }
  for (const s of kernel.stores) found.delete(s.operand);
  return found;
}

/** Floating-point numbers as large as the elements of all operands that are turned, if they have a size that vectors can turn. */
function movedAs({ kernel }: LoopNest, operands: readonly number[]): "float32" | "float64" | null {
  const sizes = new Set(operands.map((o) => bytesOf[(kernel.operands[o] as { type: StorageType }).type]));
  if (sizes.size !== 1) return null;
  return sizes.has(4) ? "float32" : sizes.has(8) ? "float64" : null;
}

export function renderTiles(nest: LoopNest, elements: (range: Range) => void): void {
  const operands = [...turned(nest)];
  const column = nest.axis;
  const row = column - 1;
  for (const o of operands) {
    nest.line(`${nest.storage(o)} tile${o}[${tileRows}][${tileColumns}] __attribute__((aligned(64)));`);
  }
  const moved = movedAs(nest, operands);
  if (moved !== null) {
    const lanes = lanesOf(moved, nest.vectors.bytes);
    nest.declare(`${vectorTypes(lanes)}\n${transpose(lanes)}`);
  }
  nest.line("long group;");
  nest.open("for (long u = begin; u < end; u += group)");
  nest.unit(column);
  nest.line(`group = n${row} - i${row} < ${tileRows} ? n${row} - i${row} : ${tileRows};`);
  nest.line("if (group > end - u) group = end - u;");
  nest.open(`for (long left = 0; left < n${column}; left += ${tileColumns})`);
  nest.line(`const long right = n${column} - left < ${tileColumns} ? n${column} : left + ${tileColumns};`);
  for (const o of operands) {
    const source = `q${o}[g * s${o}_${row} + j * s${o}_${column}]`;
    if (moved !== null) {
      nest.line(`if (s${o}_${row} == 1) for (long j = left; j < right; j += W) packTransposed(`);
      nest.line(
        `  (T*)&tile${o}[0][j - left], ${tileColumns}, (const T*)(q${o} + j * s${o}_${column}), s${o}_${column}, right - j, group);`,
      );
      nest.line("else");
    }
    nest.line(`if (s${o}_${column} == -1) for (long g = 0; g < group; g++) for (long j = left; j < right; j++)`);
    nest.line(`  tile${o}[g][j - left] = q${o}[g * s${o}_${row} - j];`);
    nest.line("else");
    // The full tile apart: with a known number of rows the loop over them is unrolled.
    nest.line(`if (group == ${tileRows}) for (long j = left; j < right; j++) for (long g = 0; g < ${tileRows}; g++)`);
    nest.line(`  tile${o}[g][j - left] = ${source};`);
    nest.line("else for (long j = left; j < right; j++) for (long g = 0; g < group; g++)");
    nest.line(`  tile${o}[g][j - left] = ${source};`);
  }
  nest.open("for (long g = 0; g < group; g++)");
  nest.line(`const long first = i${row};`);
  nest.open("");
  nest.line(`const long i${row} = first + g;`);
  nest.kernel.operands.forEach((_, i) => {
    nest.line(`${nest.pointer(i)} const w${i} = q${i} + g * s${i}_${row};`);
  });
  nest.cursor = "w";
  for (const o of operands) nest.staged.set(o, `tile${o}[g][${nest.variable} - left]`);
  elements({ from: "left", to: "right" });
  nest.staged.clear();
  nest.cursor = "q";
  for (let i = 0; i < 4; i++) nest.close();
}
