/** Text from outside, made safe to show. */

const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/gu;

/** `text` with everything that would change how other text is shown written out, cut to `longest` characters. */
export function cleaned(text: string, longest: number): string {
  const characters = Array.from(text.toWellFormed());
  const shown = characters.length > longest ? [...characters.slice(0, longest - 1), "…"] : characters;
  return shown.join("").replace(UNSAFE, written);
}

/** As {@link cleaned}, of any length, in lines and columns. */
export function legible(text: string): string {
  return text.toWellFormed().replaceAll("\r\n", "\n").replace(UNSAFE, (character) => (character === "\n" || character === "\t" ? character : written(character)));
}

function written(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
