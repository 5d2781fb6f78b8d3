/** Messages inside sealed signaling and on the `control` channel (docs/protocol.md 2.3, 3.2, 3.3). */
import { Malformed, type Fields, integer, oneOf, optionalText, parseObject, text } from "./json.js";
import { candidate } from "./wire.js";

/** What a side came for. */
export type Intent = "send-files" | "receive-files" | "pipe" | "chat" | "call" | "bench" | "any";
/** What a peer is made of. */
export type Engine = "native" | "browser";
/** Why a session ended. */
export type ByeCode = "done" | "cancelled" | "declined" | "tampered" | "wrong-code" | "timeout" | "protocol" | "internal";

/** A session description or a candidate, on either way. `id` is the number of an offer, also in its answer. */
export type Negotiating =
  | { readonly type: "offer" | "answer"; readonly id?: number; readonly sdp: string }
  | { readonly type: "ice-candidate"; readonly candidate: RTCIceCandidateInit | null };

/** The end. */
export interface Bye {
  readonly type: "bye";
  readonly code: ByeCode;
  readonly message: string;
}

/** Inside a sealed record. */
export type SealedMessage =
  | { readonly type: "offer" | "answer"; readonly id?: number; readonly sdp: string; readonly agent: string; readonly engine: Engine }
  | Extract<Negotiating, { type: "ice-candidate" }>
  | Bye;

/** Each side's first message on `control`. */
export interface Hello {
  readonly type: "hello";
  readonly version: number;
  readonly agent: string;
  readonly engine: Engine;
  readonly intent: Intent;
  readonly certificates?: string;
  /** How many lanes it takes, and the largest datagrams that its engine takes, in bytes of UDP payload. */
  readonly lanes?: number;
  readonly packet?: number;
}

/** The heartbeat. */
export type Beat = { readonly type: "ping"; readonly id: number } | { readonly type: "pong"; readonly id: number };

/** Of a connection for bulk, which either side opens. */
export type LaneMessage =
  | { readonly type: "lane-offer" | "lane-answer"; readonly lane: number; readonly sdp: string }
  | { readonly type: "lane-candidate"; readonly lane: number; readonly candidate: RTCIceCandidateInit | null }
  | { readonly type: "lane-close"; readonly lane: number };

/** On `control`. */
export type ControlMessage = Hello | Negotiating | Bye | Beat | LaneMessage | { readonly type: "unknown" };

const INTENTS = ["send-files", "receive-files", "pipe", "chat", "call", "bench", "any"] as const;
const ENGINES = ["native", "browser"] as const;
const BYES = ["done", "cancelled", "declined", "tampered", "wrong-code", "timeout", "protocol", "internal"] as const;
const LONGEST_SDP = 65_535;

/** @throws Malformed */
export function parseSealedMessage(json: string): SealedMessage | { readonly type: "unknown" } {
  const fields = parseObject(json);
  const type = text(fields, "type", 64);
  switch (type) {
    case "offer":
    case "answer":
      return { type, ...numberOf(fields), sdp: text(fields, "sdp", LONGEST_SDP), agent: agent(fields), engine: oneOf(fields, "engine", ENGINES) };
    case "ice-candidate":
      return { type, candidate: candidate(fields) };
    case "bye":
      return bye(fields);
    default:
      return { type: "unknown" };
  }
}

/** @throws Malformed */
export function parseControlMessage(json: string): ControlMessage {
  const fields = parseObject(json);
  const type = text(fields, "type", 64);
  switch (type) {
    case "hello":
      return hello(fields);
    case "ping":
    case "pong":
      return { type, id: integer(fields, "id", 0, Number.MAX_SAFE_INTEGER) };
    case "offer":
    case "answer":
      return { type, ...numberOf(fields), sdp: text(fields, "sdp", LONGEST_SDP) };
    case "ice-candidate":
      return { type, candidate: candidate(fields) };
    case "lane-offer":
    case "lane-answer":
      return { type, lane: laneOf(fields), sdp: text(fields, "sdp", LONGEST_SDP) };
    case "lane-candidate":
      return { type, lane: laneOf(fields), candidate: candidate(fields) };
    case "lane-close":
      return { type, lane: laneOf(fields) };
    case "bye":
      return bye(fields);
    default:
      return { type: "unknown" };
  }
}

function laneOf(fields: Fields): number {
  return integer(fields, "lane", 0, 0xffff_ffff);
}

function numberOf(fields: Fields): { readonly id?: number } {
  return fields["id"] === undefined ? {} : { id: integer(fields, "id", 0, 0xffff_ffff) };
}

function hello(fields: Fields): Hello {
  const certificates = optionalText(fields, "certificates", 64);
  return {
    type: "hello",
    version: integer(fields, "version", 0, 0xffff),
    agent: agent(fields),
    engine: oneOf(fields, "engine", ENGINES),
    // An intent of a later version is none that this page could adapt to.
    intent: INTENTS.find((intent) => intent === fields["intent"]) ?? "any",
    ...(fields["lanes"] === undefined ? {} : { lanes: integer(fields, "lanes", 0, 0xffff) }),
    ...(certificates === undefined ? {} : { certificates }),
  };
}

function bye(fields: Fields): Bye {
  const code = BYES.find((known) => known === fields["code"]) ?? "internal";
  // Counted in UTF-16 units here, so twice the 512 characters of the protocol.
  return { type: "bye", code, message: text(fields, "message", 1024) };
}

function agent(fields: Fields): string {
  const value = text(fields, "agent", 64);
  if (/\p{Cc}/u.test(value)) throw new Malformed("bad agent");
  return value;
}
