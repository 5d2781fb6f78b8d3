/** Why a line ended before it was one, in words for whoever holds the code. */
import { type FailureCode, PeerlineError } from "./errors.js";
import type { Role } from "./keys.js";
import type { AbortReason } from "./pairing.js";

const STOPPED: Readonly<Record<AbortReason, readonly [FailureCode, string]>> = {
  "wrong-code": ["wrong-code", "The code is wrong."],
  version: ["peer-version", "The other side speaks another version."],
  tampered: ["tampered", "The messages were tampered with on their way."],
  "code-used": ["code-used", "This code was already used."],
  cancelled: ["cancelled", "The other side cancelled."],
};

/** Pairing was stopped. */
export function stopped(role: Role, reason: AbortReason, by: "us" | "peer"): PeerlineError {
  const [code, message] = STOPPED[reason];
  if (role === "host" && reason === "wrong-code") {
    return new PeerlineError(code, "Somebody tried a wrong code, so yours was burned.", "Make a new code and send it again.");
  }
  return new PeerlineError(code, by === "peer" && reason === "tampered" ? `${message} The other side noticed.` : message);
}

/** The server is gone, and with it the room of a code that was shown. */
export function roomGone({ code }: PeerlineError): PeerlineError {
  return new PeerlineError(code, "The connection to the server was lost, so this code leads nowhere any more.", "Make a new code and send it again.");
}

/** The host's room is not to be had any more, for the reason that the server gave last. */
export function roomLost({ code, message }: PeerlineError): PeerlineError {
  return new PeerlineError(code, `Somebody took the room of this code and it cannot be had back. ${message}`, "Make a new code and send it again.");
}
