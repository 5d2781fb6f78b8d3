/** What leader and follower say to each other, as JSON text (docs/protocol.md section 8). */
import type { ChannelData } from "../channel.js";
import { type Fields, Malformed, integer, object, oneOf, optionalText, parseObject, text } from "../json.js";
import { cleaned } from "../text.js";

/** The leader decides what is measured, the follower takes part. */
export type Side = "leader" | "follower";

/** One measurement of throughput. */
export interface Step {
  /** Its number, counted from 0. */
  readonly step: number;
  /** Who sends. */
  readonly sender: Side;
  /** On how many connections at a time. */
  readonly lanes: number;
  /** In datagrams of at most this many bytes of UDP payload; 0 for what the sender takes to be best. */
  readonly packet: number;
  /** How long is sent, in milliseconds. */
  readonly millis: number;
}

/** Round trips of small messages, in microseconds: half, nine of ten, and 99 of 100 took no longer. */
export interface Latency {
  /** Round trips that were measured. */
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** One line of the result. */
export type Report =
  /** Round trips while nothing else was sent. */
  | { readonly what: "idle"; readonly latency: Latency }
  /** Throughput, as the receiving side saw it, from its first message to its last; and round trips meanwhile. */
  | (Measured & { readonly what: "rate"; readonly bytes: number; readonly micros: number; readonly latency: Latency | undefined })
  /** This could not be measured, for a reason that may be in the other side's words. */
  | (Measured & { readonly what: "failed"; readonly reason: string });

/** What was to be measured. */
type Measured = Pick<Step, "sender" | "lanes" | "packet">;

/** A message of the channel. */
export type Message =
  | ({ readonly type: "run" } & Step)
  | { readonly type: "sent"; readonly step: number; readonly bytes: number; readonly packet: number }
  | { readonly type: "received"; readonly step: number; readonly bytes: number; readonly micros: number }
  | { readonly type: "failed"; readonly step: number; readonly reason: string }
  | { readonly type: "ping" | "pong"; readonly id: number }
  | { readonly type: "report"; readonly report: Report }
  | { readonly type: "end" }
  | { readonly type: "unknown" };

const SIDES = ["leader", "follower"] as const;
const LONGEST_REASON = 256;
const U16 = 0xffff;
const U32 = 0xffff_ffff;
const LARGE = Number.MAX_SAFE_INTEGER;

/** @throws Malformed */
export function parse(data: ChannelData): Message {
  if (typeof data !== "string") throw new Malformed("it is not text");
  const fields = parseObject(data);
  const type = text(fields, "type", 64);
  const number = (name: string, most: number): number => integer(fields, name, 0, most);
  switch (type) {
    case "run":
      return { type, step: number("step", U32), ...measured(fields), millis: number("millis", U32) };
    case "sent":
      return { type, step: number("step", U32), bytes: number("bytes", LARGE), packet: number("packet", U16) };
    case "received":
      return { type, step: number("step", U32), bytes: number("bytes", LARGE), micros: number("micros", LARGE) };
    case "failed":
      return { type, step: number("step", U32), reason: reason(fields) };
    case "ping":
    case "pong":
      return { type, id: number("id", LARGE) };
    case "report":
      return { type, report: report(fields) };
    case "end":
      return { type };
    default:
      return { type: "unknown" };
  }
}

/** As it goes over the channel. */
export function write(message: Message): string {
  if (message.type !== "report") return JSON.stringify(message);
  return JSON.stringify({ type: "report", ...message.report });
}

function report(fields: Fields): Report {
  const what = oneOf(fields, "what", ["idle", "rate", "failed"] as const);
  if (what === "idle") return { what, latency: latency(object(fields["latency"], "latency")) };
  if (what === "failed") return { what, ...measured(fields), reason: reason(fields) };
  const [bytes, micros] = [integer(fields, "bytes", 0, LARGE), integer(fields, "micros", 0, LARGE)];
  const loaded = fields["latency"] ?? undefined;
  return { what, ...measured(fields), bytes, micros, latency: loaded === undefined ? undefined : latency(object(loaded, "latency")) };
}

function measured(fields: Fields): Measured {
  return { sender: oneOf(fields, "sender", SIDES), lanes: integer(fields, "lanes", 0, U16), packet: integer(fields, "packet", 0, U16) };
}

function latency(fields: Fields): Latency {
  const micros = (name: string): number => integer(fields, name, 0, LARGE);
  return { samples: integer(fields, "samples", 0, U32), p50: micros("p50"), p90: micros("p90"), p99: micros("p99") };
}

/** Somebody else's words, harmless. */
function reason(fields: Fields): string {
  return cleaned(optionalText(fields, "reason", LARGE) ?? "", LONGEST_REASON);
}
