/**
 * Pictures in a terminal. Which way it shows images is told by its variables; where none is known, characters with two
 * colours each, or dots where there is no colour.
 */

export type Protocol = "kitty" | "iterm" | "sixel" | "blocks" | "dots";

/** Pixels, four bytes each. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray | Uint8Array;
}

export interface TerminalState {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isTTY: boolean;
}

/** The best way that a terminal is known to have. */
export function protocolOf({ env, isTTY }: TerminalState): Protocol {
  if (!isTTY) return "dots";
  const { TERM = "", TERM_PROGRAM = "", LC_TERMINAL = "" } = env;
  // Between a multiplexer and the terminal images get lost.
  if (env["TMUX"] === undefined && !TERM.startsWith("screen")) {
    if (env["KITTY_WINDOW_ID"] !== undefined || /kitty|ghostty/.test(TERM) || TERM_PROGRAM === "ghostty")
      return "kitty";
    if (/^(iTerm\.app|WezTerm)$/.test(TERM_PROGRAM) || LC_TERMINAL === "iTerm2") return "iterm";
    if (/sixel|mlterm|^foot|^contour/.test(TERM)) return "sixel";
  }
  return env["NO_COLOR"] ? "dots" : "blocks";
}

/** kitty's protocol: PNG in base64, in pieces of 4,096. https://sw.kovidgoyal.net/kitty/graphics-protocol/ */
export function kitty(png: Uint8Array): string {
  const text = Buffer.from(png).toString("base64");
  const pieces = text.match(/.{1,4096}/g) ?? [];
  return pieces
    .map((piece, i) => `\x1b_G${i === 0 ? "a=T,f=100," : ""}m=${i === pieces.length - 1 ? 0 : 1};${piece}\x1b\\`)
    .join("");
}

/** iTerm's protocol. https://iterm2.com/documentation-images.html */
export function iterm(png: Uint8Array): string {
  return `\x1b]1337;File=inline=1;size=${png.length}:${Buffer.from(png).toString("base64")}\x07`;
}

/** Two pixels a character: the upper half in the text's colour, the lower in the ground's. */
export function blocks({ width, height, data }: Pixels, trueColour: boolean): string {
  const colour = (x: number, y: number, ground: boolean): string => {
    const at = (Math.min(y, height - 1) * width + x) * 4;
    const [red, green, blue] = [data[at] as number, data[at + 1] as number, data[at + 2] as number];
    const code = ground ? 48 : 38;
    if (trueColour) return `\x1b[${code};2;${red};${green};${blue}m`;
    const level = (value: number) => Math.round((value / 255) * 5);
    return `\x1b[${code};5;${16 + 36 * level(red) + 6 * level(green) + level(blue)}m`;
  };
  const lines: string[] = [];
  for (let y = 0; y < height; y += 2) {
    let line = "";
    let before = "";
    for (let x = 0; x < width; x++) {
      const colours = colour(x, y, false) + colour(x, y + 1, true);
      line += colours === before ? "▀" : `${colours}▀`;
      before = colours;
    }
    lines.push(`${line}\x1b[0m`);
  }
  return lines.join("\n");
}

/** Eight dots a character, set where a pixel differs from the picture's corner. */
export function dots({ width, height, data }: Pixels): string {
  const light = (x: number, y: number): number => {
    const at = (y * width + x) * 4;
    return (0.3 * (data[at] as number) + 0.59 * (data[at + 1] as number) + 0.11 * (data[at + 2] as number)) / 255;
  };
  const ground = light(0, 0);
  const places = [0, 3, 1, 4, 2, 5, 6, 7];
  const lines: string[] = [];
  for (let y = 0; y < height; y += 4) {
    let line = "";
    for (let x = 0; x < width; x += 2) {
      let code = 0;
      for (let dot = 0; dot < 8; dot++) {
        const [px, py] = [x + (dot & 1), y + (dot >> 1)];
        if (px < width && py < height && Math.abs(light(px, py) - ground) > 0.18) code |= 1 << (places[dot] as number);
      }
      line += String.fromCodePoint(0x2800 + code);
    }
    lines.push(line.replace(/\u2800+$/, ""));
  }
  return lines.join("\n");
}
