/** Messages on a `files/ID` channel (docs/protocol.md 5.1). */
import { type Fields, Malformed, integer, parseObject, text } from "../json.js";
import { type KeptBlock, parseKept } from "./kept.js";

/** Why a transfer was cancelled. */
export type CancelCode = "cancelled" | "no-space" | "exists" | "bad-manifest" | "bad-block" | "source-changed" | "io" | "too-large" | "protocol";

/** Read by a sender. */
export type FromReceiver =
  | { readonly type: "accept"; readonly window: number | undefined; readonly lanes: number }
  | { readonly type: "have"; readonly blocks: readonly KeptBlock[]; readonly last: boolean }
  | { readonly type: "credit"; readonly bytes: number; readonly lane: number | undefined; readonly laneBytes: number }
  | { readonly type: "lane-ended"; readonly lane: number; readonly bytes: number }
  | { readonly type: "decline"; readonly reason: string }
  | { readonly type: "resend"; readonly file: number; readonly block: number }
  | { readonly type: "progress"; readonly bytes: number; readonly files: number }
  | { readonly type: "receipt"; readonly digest: string; readonly bytes: number; readonly files: number }
  | Cancel
  | Unknown;

/** Read by a receiver; offers and entries are read by the manifest. */
export type FromSender =
  | { readonly type: "offer" | "entries"; readonly fields: Fields }
  | { readonly type: "complete"; readonly digest: string; readonly size: number | undefined }
  | { readonly type: "lane-lost"; readonly lane: number }
  | Cancel
  | Unknown;

/** The end, from either side. */
export interface Cancel {
  readonly type: "cancel";
  readonly code: CancelCode;
  readonly message: string;
}

interface Unknown {
  readonly type: "unknown";
}

const CANCELS = ["cancelled", "no-space", "exists", "bad-manifest", "bad-block", "source-changed", "io", "too-large", "protocol"] as const;
const MOST = Number.MAX_SAFE_INTEGER;

/** @throws Malformed */
export function parseFromReceiver(data: unknown): FromReceiver {
  const [type, fields] = typed(data);
  switch (type) {
    case "accept":
      return { type, window: optional(fields, "window", MOST), lanes: optional(fields, "lanes", 0xffff) ?? 0 };
    case "have":
      return { type, blocks: parseKept(fields), last: fields["last"] === true };
    case "credit":
      return { type, bytes: integer(fields, "bytes", 0, MOST), lane: optional(fields, "lane", 0xffff), laneBytes: optional(fields, "laneBytes", MOST) ?? 0 };
    case "lane-ended":
      return { type, lane: integer(fields, "lane", 0, 0xffff), bytes: integer(fields, "bytes", 0, MOST) };
    case "decline":
      return { type, reason: text(fields, "reason", 1024) };
    case "resend":
      return { type, file: integer(fields, "file", 0, 0xffff_ffff), block: integer(fields, "block", 0, 0xffff_ffff) };
    case "progress":
      return { type, bytes: integer(fields, "bytes", 0, MOST), files: integer(fields, "files", 0, MOST) };
    case "receipt":
      return { type, digest: digest(fields), bytes: integer(fields, "bytes", 0, MOST), files: integer(fields, "files", 0, MOST) };
    case "cancel":
      return cancel(fields);
    default:
      return { type: "unknown" };
  }
}

/** @throws Malformed */
export function parseFromSender(data: unknown): FromSender {
  const [type, fields] = typed(data);
  switch (type) {
    case "offer":
    case "entries":
      return { type, fields };
    case "complete":
      return { type, digest: digest(fields), size: optional(fields, "size", MOST) };
    case "lane-lost":
      return { type, lane: integer(fields, "lane", 0, 0xffff) };
    case "cancel":
      return cancel(fields);
    default:
      return { type: "unknown" };
  }
}

function optional(fields: Fields, name: string, most: number): number | undefined {
  return fields[name] === undefined ? undefined : integer(fields, name, 0, most);
}

function typed(data: unknown): [string, Fields] {
  if (typeof data !== "string") throw new Malformed("files message is not text");
  const fields = parseObject(data);
  return [text(fields, "type", 64), fields];
}

function digest(fields: Fields): string {
  const value = text(fields, "digest", 64);
  if (!/^[0-9a-f]{64}$/.test(value)) throw new Malformed("bad digest");
  return value;
}

function cancel(fields: Fields): Cancel {
  const code = CANCELS.find((known) => known === fields["code"]) ?? "protocol";
  return { type: "cancel", code, message: text(fields, "message", 1024) };
}
