/** A figure's page: markup and style alone, no script. */
import type { Theme } from "./theme.js";
import { themes } from "./theme.js";

export const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

export function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}

/** A page of one drawing, or of two that follow the reader's scheme. */
export function page(title: string, drawings: Readonly<Partial<Record<Theme, string>>>): string {
  const names = Object.keys(drawings) as Theme[];
  const ground = (theme: Theme) => `body { background: ${themes[theme].background} }`;
  const style =
    names.length === 1
      ? ground(names[0] as Theme)
      : `${ground("light")}
figure.dark { display: none }
@media (prefers-color-scheme: dark) {
  ${ground("dark")}
  figure.light { display: none }
  figure.dark { display: block }
}`;
  const figures = names.map((name) => `<figure class="${name}">${drawings[name]}</figure>`);
  return `<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="${names.join(" ")}">
<title>${escapeXml(title)}</title>
<style>
body { margin: 0; display: grid; place-items: center; min-height: 100vh }
figure { margin: 0; padding: 8px; max-width: 100%; box-sizing: border-box }
svg { max-width: 100%; height: auto }
${style}
</style>
</head>
<body>
${figures.join("\n")}
</body>
</html>
`;
}
