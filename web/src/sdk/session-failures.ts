/** Why a session ended, for people. */
import type { ByeCode } from "./control.js";
import { PeerlineError } from "./errors.js";

/** What the other side said at its end; nothing if that is no failure. */
export function failureOfBye(code: ByeCode, message: string): PeerlineError | undefined {
  const reasons: Partial<Record<ByeCode, PeerlineError>> = {
    tampered: new PeerlineError("tampered", "The other side found that the connection was tampered with."),
    declined: new PeerlineError("declined", "The other side declined."),
    protocol: new PeerlineError("protocol", `The other side stopped: ${message.slice(0, 200)}`),
    internal: new PeerlineError("peer-gone", `The other side stopped: ${message.slice(0, 200)}`),
    timeout: new PeerlineError("timeout", "The other side stopped waiting."),
    "wrong-code": new PeerlineError("wrong-code", "The code did not match."),
    cancelled: new PeerlineError("cancelled", "The other side cancelled."),
  };
  return reasons[code];
}

/** ICE found nothing. */
export function noPath(): PeerlineError {
  return new PeerlineError("no-path", "The two devices found no way to each other.");
}

/** Its process ended, or its tab was closed. */
export function gone(): PeerlineError {
  return new PeerlineError("peer-gone", "The other side closed the connection.");
}
