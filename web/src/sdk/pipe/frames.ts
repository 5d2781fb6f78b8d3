/** The frames of a tunnel, of which a pipe is one stream (docs/protocol.md 9.1). Pure. */
import { type Bytes, concat, u32, u64, utf8 } from "../bytes.js";
import { Malformed } from "../json.js";

/** What one message says. */
export type Frame =
  /** There is a new stream, to the thing of this name. */
  | { readonly kind: "open"; readonly stream: number; readonly target: string }
  | { readonly kind: "accept" | "taken"; readonly stream: number }
  | { readonly kind: "data"; readonly stream: number; readonly bytes: Uint8Array<ArrayBuffer> }
  /** So many bytes in all may be sent; there are no more than so many. */
  | { readonly kind: "grant" | "end"; readonly stream: number; readonly total: number }
  /** Both directions are over and were not complete. */
  | { readonly kind: "reset"; readonly stream: number; readonly code: number; readonly reason: string };

/** Kind and number of the stream. */
const HEADER = 5;
/** Bytes of data that fit into one frame. */
export const MAX_DATA = 65_535 - HEADER;
const MAX_TARGET = 64;
const MAX_REASON = 256;

const KINDS = { open: 1, accept: 2, data: 3, grant: 4, end: 5, taken: 6, reset: 7 } as const;
/** Of a message of several frames. */
const SEVERAL = 8;

/** One message. */
export function writeFrame(frame: Frame): Bytes {
  return concat(Uint8Array.of(KINDS[frame.kind]), u32(frame.stream), rest(frame));
}

function rest(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case "open":
      return utf8(frame.target);
    case "data":
      return frame.bytes;
    case "grant":
    case "end":
      return u64(frame.total);
    case "reset":
      return concat(Uint8Array.of(frame.code), utf8(frame.reason));
    case "accept":
    case "taken":
      return new Uint8Array();
  }
}

/** Reads one message: a frame, or several, each behind its length. @throws Malformed */
export function* readFrames(message: string | ArrayBuffer): Generator<Frame> {
  if (typeof message === "string" || message.byteLength === 0) throw new Malformed("its message makes no sense");
  const view = new DataView(message);
  if (view.getUint8(0) !== SEVERAL) return yield readFrame(message, 0, message.byteLength);
  let at = 1;
  do {
    if (at + 2 > message.byteLength) throw new Malformed("its message makes no sense");
    const length = view.getUint16(at);
    yield readFrame(message, at + 2, length);
    at += 2 + length;
  } while (at < message.byteLength);
}

function readFrame(message: ArrayBuffer, at: number, length: number): Frame {
  if (length < HEADER || at + length > message.byteLength) throw new Malformed("its message makes no sense");
  const view = new DataView(message, at, length);
  const [kind, stream] = [view.getUint8(0), view.getUint32(1)];
  const rest = new Uint8Array(message, at + HEADER, length - HEADER);
  switch (kind) {
    case KINDS.open:
      return { kind: "open", stream, target: text(rest, MAX_TARGET) };
    case KINDS.accept:
    case KINDS.taken:
      if (rest.length > 0) break;
      return { kind: kind === KINDS.accept ? "accept" : "taken", stream };
    case KINDS.data:
      if (rest.length === 0) break;
      return { kind: "data", stream, bytes: rest };
    case KINDS.grant:
    case KINDS.end:
      if (rest.length !== 8) break;
      return { kind: kind === KINDS.grant ? "grant" : "end", stream, total: Number(view.getBigUint64(HEADER)) };
    case KINDS.reset:
      if (rest.length === 0) break;
      return { kind: "reset", stream, code: rest[0] ?? 0, reason: text(rest.subarray(1), MAX_REASON) };
  }
  throw new Malformed("its message makes no sense");
}

function text(bytes: Uint8Array, longest: number): string {
  if (bytes.length > longest) throw new Malformed("its message makes no sense");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed("its message makes no sense");
  }
}
