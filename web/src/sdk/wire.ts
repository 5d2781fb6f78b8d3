/** The signaling wire (docs/protocol.md section 1): messages parsed at the edge into types that cannot be wrong. */
import { type Fields, Malformed, array, integer, object, oneOf, optionalText, parseObject, text } from "./json.js";

/** Somebody in the room. Ids are made by the server. */
export interface Peer {
  readonly id: string;
  readonly name?: string;
  readonly plain?: boolean;
  readonly away?: boolean;
}

/** What the server allows. */
export interface Limits {
  readonly messageBytes: number;
  readonly messagesPerSecond: number;
  readonly peers: number;
}

/** `join` and what may go with it. */
export interface Join {
  readonly type: "join";
  readonly room?: string;
  readonly create?: boolean;
  readonly capacity?: number;
  readonly name?: string;
  readonly token?: string;
  readonly resumable?: boolean;
  readonly resume?: string;
  readonly ack?: number;
}

/** What we send. */
export type ClientMessage =
  | Join
  | { readonly type: "sealed"; readonly to: string; readonly data: string }
  | { readonly type: "offer" | "answer"; readonly to?: string; readonly sdp: string }
  | { readonly type: "ice-candidate"; readonly to?: string; readonly candidate: RTCIceCandidateInit | null }
  | { readonly type: "chat"; readonly to?: string; readonly content: string }
  | { readonly type: "message"; readonly to?: string; readonly payload: unknown }
  | { readonly type: "path"; readonly kind: "direct" | "relayed" }
  | { readonly type: "leave" }
  | { readonly type: "ping" }
  | { readonly type: "ack"; readonly seq: number };

/** What the server sends. */
export type ServerMessage =
  | {
      readonly type: "joined";
      readonly room: string;
      readonly self: string;
      readonly peers: readonly Peer[];
      readonly iceServers: readonly RTCIceServer[];
      /** Absent from servers to which one cannot come back. */
      readonly resume?: string;
      readonly limits: Limits;
    }
  | { readonly type: "peer-joined"; readonly peer: Peer; readonly iceServers?: readonly RTCIceServer[] }
  | { readonly type: "peer-left"; readonly peer: string; readonly reason: "left" | "lost" | "kicked" }
  | { readonly type: "offer" | "answer"; readonly from: string; readonly sdp: string }
  | { readonly type: "ice-candidate"; readonly from: string; readonly candidate: RTCIceCandidateInit | null }
  | { readonly type: "sealed"; readonly from: string; readonly data: string }
  | { readonly type: "chat"; readonly from: string; readonly content: string }
  | { readonly type: "message"; readonly from: string; readonly payload: unknown }
  | { readonly type: "error"; readonly code: string; readonly message: string; readonly retry: boolean }
  | { readonly type: "draining"; readonly reconnectAfterMs: number }
  | { readonly type: "pong" }
  | { readonly type: "ack"; readonly seq: number }
  | { readonly type: "resumed"; readonly received: number }
  | { readonly type: "peer-away" | "peer-back"; readonly peer: string }
  /** A type this version does not know; to be ignored. */
  | { readonly type: "unknown" };

/** Longest signaling message in UTF-16 units: protocol section 6. */
const LONGEST = 65536;
/** What the server may add to a message that it relays. */
const ADDED = 2048;
const ROOM = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$/;
const PEER = /^[A-Za-z0-9_-]{1,32}$/;
const CONTROL = /\p{Cc}/u;

/** Reads one text frame of the server. @throws Malformed */
export function parseServerMessage(frame: string): ServerMessage {
  if (frame.length > LONGEST + ADDED) throw new Malformed("message too long");
  const fields = parseObject(frame);
  const type = text(fields, "type", 64);
  switch (type) {
    case "joined":
      return {
        type,
        room: matching(fields, "room", ROOM),
        self: matching(fields, "self", PEER),
        peers: array(fields, "peers", 1024).map(peer),
        iceServers: array(fields, "iceServers", 32).map(iceServer),
        ...(optionalText(fields, "resume", 1024) === undefined ? {} : { resume: text(fields, "resume", 1024) }),
        limits: limits(object(fields["limits"], "limits")),
      };
    case "peer-joined":
      return {
        type,
        peer: peer(fields["peer"]),
        ...("iceServers" in fields && { iceServers: array(fields, "iceServers", 32).map(iceServer) }),
      };
    case "peer-left":
      return { type, peer: matching(fields, "peer", PEER), reason: oneOf(fields, "reason", ["left", "lost", "kicked"]) };
    case "offer":
    case "answer":
      return { type, from: from(fields), sdp: text(fields, "sdp", LONGEST) };
    case "ice-candidate":
      return { type, from: from(fields), candidate: candidate(fields) };
    case "sealed":
      return { type, from: from(fields), data: text(fields, "data", LONGEST) };
    case "chat":
      return { type, from: from(fields), content: text(fields, "content", LONGEST) };
    case "message":
      if (!("payload" in fields)) throw new Malformed("bad payload");
      return { type, from: from(fields), payload: fields["payload"] };
    case "error":
      return { type, code: text(fields, "code", 64), message: text(fields, "message", 1024), retry: fields["retry"] === true };
    case "draining":
      return { type, reconnectAfterMs: integer(fields, "reconnectAfterMs", 0, Number.MAX_SAFE_INTEGER) };
    case "pong":
      return { type };
    case "ack":
      return { type, seq: integer(fields, "seq", 0, Number.MAX_SAFE_INTEGER) };
    case "resumed":
      return { type, received: integer(fields, "received", 0, Number.MAX_SAFE_INTEGER) };
    case "peer-away":
    case "peer-back":
      return { type, peer: matching(fields, "peer", PEER) };
    default:
      return { type: "unknown" };
  }
}

/** The number of a message, also of one of a type that this version does not know. @throws Malformed */
export function sequenceOf(frame: string): number | undefined {
  const fields = parseObject(frame);
  return fields["seq"] === undefined ? undefined : integer(fields, "seq", 1, Number.MAX_SAFE_INTEGER);
}

/** `candidate` of a message as RTCIceCandidateInit, or null for the end of candidates. @throws Malformed */
export function candidate(fields: Fields): RTCIceCandidateInit | null {
  if (fields["candidate"] === null) return null;
  const given = object(fields["candidate"], "candidate");
  // 512: protocol section 6.
  const parsed: RTCIceCandidateInit = { candidate: text(given, "candidate", 512) };
  const mid = optionalText(given, "sdpMid", 64);
  const fragment = optionalText(given, "usernameFragment", 256);
  if (mid !== undefined) parsed.sdpMid = mid;
  if (fragment !== undefined) parsed.usernameFragment = fragment;
  if (typeof given["sdpMLineIndex"] === "number") parsed.sdpMLineIndex = integer(given, "sdpMLineIndex", 0, 65535);
  return parsed;
}

function from(fields: Fields): string {
  return matching(fields, "from", PEER);
}

function matching(fields: Fields, name: string, pattern: RegExp): string {
  const value = text(fields, name, 256);
  if (!pattern.test(value)) throw new Malformed(`bad ${name}`);
  return value;
}

function peer(value: unknown): Peer {
  const fields = object(value, "peer");
  const name = optionalText(fields, "name", 64);
  if (name !== undefined && (name === "" || CONTROL.test(name))) throw new Malformed("bad name");
  return {
    id: matching(fields, "id", PEER),
    ...(name === undefined ? {} : { name }),
    ...(fields["plain"] === true ? { plain: true } : {}),
    ...(fields["away"] === true ? { away: true } : {}),
  };
}

function limits(fields: Fields): Limits {
  const count = (name: string): number => integer(fields, name, 1, Number.MAX_SAFE_INTEGER);
  return { messageBytes: count("messageBytes"), messagesPerSecond: count("messagesPerSecond"), peers: count("peers") };
}

function iceServer(value: unknown): RTCIceServer {
  const fields = object(value, "iceServer");
  const given = Array.isArray(fields["urls"]) ? array(fields, "urls", 16) : [fields["urls"]];
  const urls = given.map((url) => {
    if (typeof url !== "string" || url.length > 512 || !/^(stun|stuns|turn|turns):/.test(url)) throw new Malformed("bad urls");
    return url;
  });
  const username = optionalText(fields, "username", 512);
  const credential = optionalText(fields, "credential", 512);
  return { urls, ...(username === undefined ? {} : { username }), ...(credential === undefined ? {} : { credential }) };
}
