/** Everything that can go wrong, with whose fault it is and what to try. */

/** Stable names of failures. */
export type FailureCode =
  | "bad-code"
  | "cancelled"
  | "code-used"
  | "declined"
  | "no-path"
  | "no-such-room"
  | "nothing-to-send"
  | "peer-gone"
  | "peer-version"
  | "protocol"
  | "server"
  | "server-unreachable"
  | "storage"
  | "source-changed"
  | "tampered"
  | "timeout"
  | "unauthorized"
  | "unsupported"
  | "verification"
  | "wrong-code";

const HINTS: Record<FailureCode, string> = {
  "bad-code": "Check the code: it looks like 7-crane-velvet-orbit.",
  cancelled: "Nothing is wrong; start again when you like.",
  "code-used": "Ask the other side for a new code: each one works once.",
  declined: "The other side said no. Ask them, then start again.",
  "no-path": "Put both devices on one network, or ask whoever runs this server to set up a relay (TURN).",
  "no-such-room": "Check the number at the start of the code, and that the other side is still waiting.",
  "nothing-to-send": "Choose a file or a folder.",
  "peer-gone": "Check that the other side is still open and online, then ask for a new code.",
  "peer-version": "Update the older side: the two speak different versions.",
  protocol: "The other side broke the protocol. Update both sides; if it stays, report it.",
  server: "The server refused. Wait a moment and try again.",
  "server-unreachable": "Check your connection to the server and try again.",
  storage: "This device could not save the data. Check free space and permission, then try again.",
  "source-changed": "A file changed or vanished while it was being sent. Choose the files again.",
  tampered: "Somebody between you and the other side changed the messages. Do not go on over this server.",
  timeout: "Start again on both sides.",
  unauthorized: "Ask whoever runs this server for a token that lets you in.",
  unsupported: "This browser lacks what is needed. Try a current Chrome, Edge, Firefox or Safari.",
  verification: "Data did not match its digest, even after it was sent again. Try once more.",
  "wrong-code": "The code did not match, so it was burned. Ask the other side for a new one.",
};

/** A failure of a line or a transfer. `message` says what happened, `hint` what to try. */
export class PeerlineError extends Error {
  override readonly name = "PeerlineError";
  /** Stable name. */
  readonly code: FailureCode;
  /** What to try, for a person. */
  readonly hint: string;

  constructor(code: FailureCode, message: string, hint = HINTS[code]) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** `error` itself if it is one of ours, else a failure `code` that carries its words. */
export function asFailure(error: unknown, code: FailureCode): PeerlineError {
  if (error instanceof PeerlineError) return error;
  return new PeerlineError(code, error instanceof Error ? error.message : String(error));
}
