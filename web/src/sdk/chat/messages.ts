/** The messages of a room: docs/protocol.md 10.1. */
import { fromBase64Url, random, toBase64Url, utf8 } from "../bytes.js";
import { type Fields, Malformed, array, integer, object, optionalText, parseObject, text } from "../json.js";

/** The protocol of a room's channel, which the guest of the session opens. */
export const PROTOCOL = "peerline-chat/1";
/** Its label. */
export const LABEL = "chat";

/** Longest text, in bytes of UTF-8. */
export const MAX_TEXT = 8192;
/** Messages that a guest may have sent and the host not taken. */
export const WINDOW = 64;
/** Guests, and the host. */
const MOST_PEOPLE = 65;
/** Far more than a name has that our implementations make. */
const LONGEST_NAME = 512;

/** Whether somebody says something or does something (`/me`). */
export type ChatKind = "text" | "action";

/** Somebody in the room. */
export interface Person {
  readonly id: number;
  readonly name: string;
  /** Whether it cannot be reached. */
  readonly away: boolean;
}

/** What is said, of this side or another one. */
export interface Saying {
  readonly n: number;
  readonly at: number;
  readonly kind: ChatKind;
  readonly text: string;
}

/** A message of the other side. */
export type ChatMessage =
  | { readonly type: "enter"; readonly name: string; readonly taken: number }
  | { readonly type: "welcome"; readonly you: number; readonly people: readonly Person[]; readonly old: number }
  | ({ readonly type: "say" } & Saying)
  | ({ readonly type: "said"; readonly name: string } & Saying)
  | { readonly type: "ack"; readonly n: number }
  | { readonly type: "people"; readonly people: readonly Person[] }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "unknown" };

/** What only a guest and its host know. */
export function newKey(): string {
  return toBase64Url(random(16));
}

/** Reads one message. @throws Malformed */
export function parseChatMessage(json: string): ChatMessage {
  const fields = parseObject(json);
  const number = (name: string): number => integer(fields, name, 0, Number.MAX_SAFE_INTEGER);
  const type = text(fields, "type", 64);
  switch (type) {
    case "enter":
      if (fromBase64Url(text(fields, "key", 64)).length !== 16) throw new Malformed("bad key");
      return { type, name: text(fields, "name", LONGEST_NAME), taken: fields["taken"] === undefined ? 0 : number("taken") };
    case "welcome":
      return { type, you: number("you"), people: people(fields), old: number("old") };
    case "say":
      return { type, ...saying(fields) };
    case "said":
      return { type, name: text(fields, "name", LONGEST_NAME), ...saying(fields) };
    case "ack":
      return { type, n: number("n") };
    case "people":
      return { type, people: people(fields) };
    case "name":
      return { type, name: text(fields, "name", LONGEST_NAME) };
    default:
      return { type: "unknown" };
  }
}

function saying(fields: Fields): Saying {
  const content = text(fields, "text", MAX_TEXT);
  if (utf8(content).length > MAX_TEXT) throw new Malformed("too long a text");
  return {
    n: integer(fields, "n", 1, Number.MAX_SAFE_INTEGER),
    at: integer(fields, "at", 0, Number.MAX_SAFE_INTEGER),
    kind: optionalText(fields, "kind", 64) === "action" ? "action" : "text",
    text: content,
  };
}

function people(fields: Fields): readonly Person[] {
  return array(fields, "people", MOST_PEOPLE).map((value) => {
    const person = object(value, "person");
    return { id: integer(person, "id", 0, 2 ** 32 - 1), name: text(person, "name", LONGEST_NAME), away: person["away"] === true };
  });
}
