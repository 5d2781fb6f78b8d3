/** Text from outside, made safe to show. */

const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/gu;

/** `text` with everything that would change how other text is shown written out, cut to `longest` characters. */
export function cleaned(text: string, longest: number): string {
  const characters = Array.from(text.toWellFormed());
  const shown = characters.length > longest ? [...characters.slice(0, longest - 1), "…"] : characters;
  return shown.join("").replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
