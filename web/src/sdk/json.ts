/** Reading JSON that came from outside: every shape is checked before it is believed. */

/** A JSON object with unknown fields. */
export type Fields = Readonly<Record<string, unknown>>;

/** Thrown for a message that is not what it says it is. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Parses one JSON object. */
export function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Malformed("not JSON");
  }
  return object(value, "message");
}

/** `value` as an object that is neither null nor an array. */
export function object(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${what} is not an object`);
  return value as Fields;
}

/** A string of at most `longest` UTF-16 units. */
export function text(fields: Fields, name: string, longest: number): string {
  const value = fields[name];
  if (typeof value !== "string" || value.length > longest) throw new Malformed(`bad ${name}`);
  return value;
}

/** Like {@link text}, or undefined if absent or null. */
export function optionalText(fields: Fields, name: string, longest: number): string | undefined {
  return fields[name] === undefined || fields[name] === null ? undefined : text(fields, name, longest);
}

/** A whole number from `least` to `most`. */
export function integer(fields: Fields, name: string, least: number, most: number): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) throw new Malformed(`bad ${name}`);
  return value;
}

/** An array of at most `longest` elements. */
export function array(fields: Fields, name: string, longest: number): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.length > longest) throw new Malformed(`bad ${name}`);
  return value;
}

/** One of `choices`. */
export function oneOf<Choice extends string>(fields: Fields, name: string, choices: readonly Choice[]): Choice {
  const value = fields[name];
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new Malformed(`bad ${name}`);
  return found;
}
