/**
 * How often each label got each answer, counted and set as a table: rows are labels, columns answers.
 */
import pc from "picocolors";

/** Counts of (label, answer) pairs over ten classes. */
export class Confusion {
  readonly counts: number[][] = Array.from({ length: 10 }, () => new Array<number>(10).fill(0));
  total = 0;
  right = 0;

  add(label: number, answer: number): void {
    (this.counts[label] as number[])[answer] = ((this.counts[label] as number[])[answer] as number) + 1;
    this.total += 1;
    if (label === answer) this.right += 1;
  }

  get accuracy(): number {
    return this.right / this.total;
  }

  /** The table; a class's own name stands at its row when it is more than its digit. */
  toString(names: readonly string[]): string {
    const nameWidth = Math.max(5, ...names.map((name) => name.length));
    const width = Math.max(4, String(Math.max(...this.counts.flat())).length + 1);
    const head = `${"label".padStart(nameWidth)} │${names.map((name, i) => (name.length > 1 ? String(i) : name).padStart(width)).join("")}   answer`;
    const rule = `${"─".repeat(nameWidth + 1)}┼${"─".repeat(10 * width)}`;
    const rows = this.counts.map((row, label) => {
      const cells = row.map((count, answer) => {
        const text = (count === 0 ? "·" : String(count)).padStart(width);
        if (answer === label) return pc.green(text);
        return count === 0 ? pc.dim(text) : text;
      });
      return `${(names[label] ?? String(label)).padStart(nameWidth)} │${cells.join("")}`;
    });
    return [head, rule, ...rows].map((line) => `  ${line}`).join("\n");
  }
}
