/** Codes `room-word-word-word` and the links that carry them (docs/protocol.md 2.1). */
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { random } from "./bytes.js";
import { PeerlineError } from "./errors.js";

/** A code: the room is public, the words are the secret and never leave this device. */
export interface Code {
  /** Name of the room on the server, `[a-z0-9]{1,16}`. */
  readonly room: string;
  /** Three words of the BIP 39 English list. */
  readonly words: readonly [string, string, string];
}

const ROOM = /^[a-z0-9]{1,16}$/;
const BY_PREFIX = new Map(wordlist.map((word) => [word.slice(0, 4), word]));
const WORDS = new Set(wordlist);

/** Three words drawn from the system's cryptographic generator: 33 bits. */
export function drawWords(): Code["words"] {
  // 2048 divides 65536, so taking 11 of 16 random bits is unbiased.
  const draws = new Uint16Array(random(6).buffer);
  const word = (i: number): string => wordAt((draws[i] ?? 0) & 0x7ff);
  return [word(0), word(1), word(2)];
}

/** The word of 11 bits. */
export function wordAt(index: number): string {
  const word = wordlist[index];
  if (word === undefined) throw new RangeError("a word has 11 bits");
  return word;
}

/** `7-crane-velvet-orbit` */
export function formatCode(code: Code): string {
  return [code.room, ...code.words].join("-");
}

/** The secret of a code as CPace takes it. */
export function secretOf(code: Code): string {
  return code.words.join("-");
}

/**
 * Reads a code or a link as a person gives it: any case, spaces, `_` and `.` for `-`, words cut to four letters.
 * @throws PeerlineError `bad-code` that says which part is wrong
 */
export function parseCode(input: string): Code {
  const [room = "", ...words] = splitCode(codeOfLink(input) ?? input);
  if (!ROOM.test(room)) throw new PeerlineError("bad-code", "The code must start with its room, like 7-…");
  const [first, second, third, extra] = words.map((given) => {
    const word = findWord(given);
    if (word === undefined) throw new PeerlineError("bad-code", `“${given.slice(0, 20)}” is not a word of any code.`);
    return word;
  });
  if (first === undefined || second === undefined || third === undefined || extra !== undefined) {
    throw new PeerlineError("bad-code", `A code has three words, this one has ${words.length}.`);
  }
  return { room, words: [first, second, third] };
}

/** The word meant by `given`: itself, or the one that starts with its four letters. */
export function findWord(given: string): string | undefined {
  if (WORDS.has(given)) return given;
  const word = given.length >= 4 ? BY_PREFIX.get(given.slice(0, 4)) : undefined;
  return word?.startsWith(given) === true ? word : undefined;
}

/** Up to `most` codes that continue what was typed so far, by its last, unfinished word. */
export function completeCode(typed: string, most: number): string[] {
  const parts = splitCode(typed);
  const last = parts.pop() ?? "";
  if (parts.length === 0 || parts.length > 3 || last === "") return [];
  const stem = parts.map((part, i) => (i === 0 ? part : (findWord(part) ?? part))).join("-");
  return wordlist
    .filter((word) => word.startsWith(last))
    .slice(0, most)
    .map((word) => `${stem}-${word}`);
}

/** The link for a code: the page of the server with the code as fragment, which browsers never send. */
export function linkOf(page: URL | string, code: Code): string {
  const link = new URL(page);
  link.search = "";
  link.hash = formatCode(code);
  return link.href;
}

/** The fragment of a link, or undefined if `input` is no link. */
function codeOfLink(input: string): string | undefined {
  const trimmed = input.trim();
  if (!/^https?:\/\//i.test(trimmed)) return undefined;
  const hash = trimmed.indexOf("#");
  if (hash < 0) throw new PeerlineError("bad-code", "This link carries no code.");
  try {
    return decodeURIComponent(trimmed.slice(hash + 1));
  } catch {
    throw new PeerlineError("bad-code", "This link carries no code.");
  }
}

function splitCode(input: string): string[] {
  return input.trim().toLowerCase().split(/[\s_.-]+/);
}
