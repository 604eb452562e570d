/**
 * Writes WebAssembly binaries: functions of locals, control flow and instructions by their names, and the module around them.
 * It exists so that the renderers read like assembly and the bytes are made in one place. It checks nothing: the host's
 * validator does. What a kernel needs computed is left to `ops.ts`, `loop.ts` and `matmul.ts`.
 */

export type WasmType = "i32" | "i64" | "f32" | "f64" | "v128";

const typeCode: Readonly<Record<WasmType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const opcodes = new Map<string, number>();

/** Instructions of consecutive codes. `-` leaves a code out. Codes from 0x10000 carry their prefix byte above bit 16. */
function define(prefix: string, first: number, names: string): void {
  let code = first;
  for (const name of names.split(" ")) {
    if (name !== "-") opcodes.set(prefix + name, code);
    code++;
  }
}
define("", 0x1a, "drop select");
define("", 0x28, "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u");
define("", 0x36, "i32.store i64.store f32.store f64.store i32.store8 i32.store16");
const comparisons = "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
define("i32.", 0x45, comparisons);
define("i64.", 0x50, comparisons);
define("f32.", 0x5b, "eq ne lt gt le ge");
define("f64.", 0x61, "eq ne lt gt le ge");
const integers = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u";
define("i32.", 0x6a, integers);
define("i64.", 0x7c, integers);
const floats = "abs neg ceil floor trunc nearest sqrt add sub mul div min max";
define("f32.", 0x8b, floats);
define("f64.", 0x99, floats);
define("i32.", 0xa7, "wrap_i64");
define("i64.", 0xac, "extend_i32_s extend_i32_u");
define("f32.", 0xb2, "convert_i32_s convert_i32_u convert_i64_s convert_i64_u demote_f64");
define("f64.", 0xb7, "convert_i32_s convert_i32_u convert_i64_s convert_i64_u promote_f32");
define("", 0xbc, "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64");
define("i32.trunc_sat_", 0xfc0000, "f32_s f32_u f64_s f64_u");
define("i64.trunc_sat_", 0xfc0004, "f32_s f32_u f64_s f64_u");
define("v128.", 0xfd0000, "load");
define("v128.", 0xfd0007, "load8_splat load16_splat load32_splat load64_splat store");
define("i8x16.", 0xfd000d, "shuffle");
define("", 0xfd0011, "i32x4.splat i64x2.splat f32x4.splat f64x2.splat");
define("i32x4.", 0xfd001b, "extract_lane replace_lane");
define("i64x2.", 0xfd001d, "extract_lane replace_lane");
define("f32x4.", 0xfd001f, "extract_lane replace_lane");
define("f64x2.", 0xfd0021, "extract_lane replace_lane");
define("i32x4.", 0xfd0037, comparisons.slice(4));
define("f32x4.", 0xfd0041, "eq ne lt gt le ge");
define("f64x2.", 0xfd0047, "eq ne lt gt le ge");
define("v128.", 0xfd004d, "not and andnot or xor bitselect any_true load8_lane load16_lane load32_lane load64_lane");
define("v128.", 0xfd0058, "store8_lane store16_lane store32_lane store64_lane load32_zero load64_zero");
define("", 0xfd005e, "f32x4.demote_f64x2_zero f64x2.promote_low_f32x4");
define("f32x4.", 0xfd0067, "ceil floor trunc nearest");
define("f64x2.", 0xfd0074, "ceil floor - - - - trunc");
define("f64x2.", 0xfd0094, "nearest");
define("i16x8.", 0xfd0087, "extend_low_i8x16_s - extend_low_i8x16_u");
define("i32x4.", 0xfd00a0, "abs neg");
define("i32x4.", 0xfd00a7, "extend_low_i16x8_s - extend_low_i16x8_u - shl shr_s shr_u add - - sub - - - mul");
define("i32x4.", 0xfd00b6, "min_s min_u max_s max_u");
define("i64x2.", 0xfd00c0, "abs neg");
define("i64x2.", 0xfd00c7, "extend_low_i32x4_s - extend_low_i32x4_u");
define("i64x2.", 0xfd00cb, "shl shr_s shr_u add - - sub - - - mul eq ne lt_s gt_s le_s ge_s");
define("i64x2.", 0xfd00de, "extmul_low_i32x4_u extmul_high_i32x4_u");
define("f32x4.", 0xfd00e0, "abs neg - sqrt add sub mul div min max pmin pmax");
define("f64x2.", 0xfd00ec, "abs neg - sqrt add sub mul div min max pmin pmax");
define("", 0xfd00f8, "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u");
define(
  "",
  0xfd00fc,
  "i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u",
);
define("", 0xfd0105, "f32x4.relaxed_madd - f64x2.relaxed_madd");

function unsigned(out: number[], value: number): void {
  let v = value >>> 0;
  while (v > 0x7f) {
    out.push((v & 0x7f) | 0x80);
    v >>>= 7;
  }
  out.push(v);
}

function signed(out: number[], value: bigint): void {
  let v = value;
  for (;;) {
    const byte = Number(v & 0x7fn);
    v >>= 7n;
    if ((v === 0n && byte < 0x40) || (v === -1n && byte >= 0x40)) {
      out.push(byte);
      return;
    }
    out.push(byte | 0x80);
  }
}

const scratch = new DataView(new ArrayBuffer(8));

function floatBytes(value: number, size: 4 | 8): number[] {
  if (size === 4) scratch.setFloat32(0, value, true);
  else scratch.setFloat64(0, value, true);
  return Array.from({ length: size }, (_, i) => scratch.getUint8(i));
}

/** One function. The methods append an instruction each and return the builder. Parameters are the first locals. */
export class FunctionBuilder {
  private readonly code: number[] = [];
  private readonly locals: WasmType[] = [];
  /** Its number among the module's functions, in the order they were made. */
  index = -1;

  constructor(
    readonly params: readonly WasmType[],
    readonly results: readonly WasmType[] = [],
  ) {}

  /** A new local, zero at entry. */
  local(type: WasmType): number {
    this.locals.push(type);
    return this.params.length + this.locals.length - 1;
  }

  op(name: string): this {
    const code = opcodes.get(name);
    if (code === undefined) throw new Error(`wasm encoder: no instruction "${name}"`);
    if (code < 0x10000) this.code.push(code);
    else {
      this.code.push(code >> 16);
      unsigned(this.code, code & 0xffff);
    }
    return this;
  }
  get(local: number): this {
    this.code.push(0x20);
    unsigned(this.code, local);
    return this;
  }
  set(local: number): this {
    this.code.push(0x21);
    unsigned(this.code, local);
    return this;
  }
  tee(local: number): this {
    this.code.push(0x22);
    unsigned(this.code, local);
    return this;
  }
  i32(value: number): this {
    this.code.push(0x41);
    signed(this.code, BigInt(value | 0));
    return this;
  }
  i64(value: bigint): this {
    this.code.push(0x42);
    signed(this.code, BigInt.asIntN(64, value));
    return this;
  }
  f32(value: number): this {
    this.code.push(0x43, ...floatBytes(value, 4));
    return this;
  }
  f64(value: number): this {
    this.code.push(0x44, ...floatBytes(value, 8));
    return this;
  }
  v128(bytes: Uint8Array): this {
    this.code.push(0xfd, 0x0c, ...bytes);
    return this;
  }
  /** A load or store; alignment is only a hint, so 1 is always said. Offsets are unsigned. */
  memory(name: string, offset = 0, lane = -1): this {
    this.op(name);
    this.code.push(0);
    unsigned(this.code, offset);
    if (lane >= 0) this.code.push(lane);
    return this;
  }
  lane(name: string, lane: number): this {
    this.op(name);
    this.code.push(lane);
    return this;
  }
  shuffle(bytes: readonly number[]): this {
    this.op("i8x16.shuffle");
    this.code.push(...bytes);
    return this;
  }
  call(f: FunctionBuilder): this {
    this.code.push(0x10);
    unsigned(this.code, f.index);
    return this;
  }

  /** Runs `body` while `condition` (which pushes an i32) holds. */
  while(condition: () => void, body: () => void): this {
    this.code.push(0x02, 0x40, 0x03, 0x40);
    condition();
    this.code.push(0x45, 0x0d, 1);
    body();
    this.code.push(0x0c, 0, 0x0b, 0x0b);
    return this;
  }
  /** As `while`, but tests at the end: one branch an iteration. `condition` is written twice. */
  repeat(condition: () => void, body: () => void): this {
    condition();
    this.code.push(0x04, 0x40, 0x03, 0x40);
    body();
    condition();
    this.code.push(0x0d, 0, 0x0b, 0x0b);
    return this;
  }
  /** Consumes an i32 from the stack. */
  if(then: () => void, otherwise?: () => void): this {
    this.code.push(0x04, 0x40);
    then();
    if (otherwise !== undefined) {
      this.code.push(0x05);
      otherwise();
    }
    this.code.push(0x0b);
    return this;
  }

  /** The body as the code section wants it. */
  body(): number[] {
    const runs: [number, WasmType][] = [];
    for (const type of this.locals) {
      const last = runs[runs.length - 1];
      if (last !== undefined && last[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    const out: number[] = [];
    unsigned(out, runs.length);
    for (const [count, type] of runs) {
      unsigned(out, count);
      out.push(typeCode[type]);
    }
    for (const byte of this.code) out.push(byte);
    out.push(0x0b);
    return out;
  }
}

/** A module that imports `env.memory` (shared between threads or not) and exports one of its functions as `run`. */
export class ModuleBuilder {
  private readonly functions: FunctionBuilder[] = [];

  constructor(private readonly shared = false) {}

  function(params: readonly WasmType[], results: readonly WasmType[] = []): FunctionBuilder {
    const f = new FunctionBuilder(params, results);
    f.index = this.functions.length;
    this.functions.push(f);
    return f;
  }

  encode(run: FunctionBuilder): Uint8Array<ArrayBuffer> {
    const out = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
    const section = (id: number, items: readonly number[][]): void => {
      const bytes: number[] = [];
      unsigned(bytes, items.length);
      for (const item of items) for (const byte of item) bytes.push(byte);
      out.push(id);
      unsigned(out, bytes.length);
      for (const byte of bytes) out.push(byte);
    };
    const name = (text: string): number[] => [text.length, ...Array.from(text, (c) => c.charCodeAt(0))];
    const types = (list: readonly WasmType[]): number[] => [list.length, ...list.map((t) => typeCode[t])];
    section(
      1,
      this.functions.map((f) => [0x60, ...types(f.params), ...types(f.results)]),
    );
    // at least no page; of shared memory at most 65,536 of them, which must be said
    const limits = this.shared ? [0x03, 0, 0x80, 0x80, 0x04] : [0x00, 0];
    section(2, [[...name("env"), ...name("memory"), 0x02, ...limits]]);
    section(
      3,
      this.functions.map((f) => {
        const item: number[] = [];
        unsigned(item, f.index);
        return item;
      }),
    );
    const exported = [...name("run"), 0x00];
    unsigned(exported, run.index);
    section(7, [exported]);
    section(
      10,
      this.functions.map((f) => {
        const body = f.body();
        const item: number[] = [];
        unsigned(item, body.length);
        for (const byte of body) item.push(byte);
        return item;
      }),
    );
    return new Uint8Array(out);
  }
}
