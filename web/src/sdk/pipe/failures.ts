/** Why a pipe ended early, and what the two sides say of it (docs/protocol.md 9.1). */
import { PeerlineError } from "../errors.js";
import { cleaned } from "../text.js";

/** Codes of a reset. */
export const CANCELLED = 0;
export const REFUSED = 1;
export const FAILED = 3;

/** Somebody here ended it. */
export function stopped(): PeerlineError {
  return new PeerlineError("cancelled", "You stopped the pipe.");
}

/** What a reset of the other side means for a person here. */
export function failureOf(code: number, reason: string): PeerlineError {
  if (code === CANCELLED) return new PeerlineError("cancelled", "The other side stopped the pipe.");
  const words = cleaned(reason, 200).trim();
  const says = words === "" ? "" : ` It says: ${words}.`;
  if (code === REFUSED) return new PeerlineError("declined", `The other side offers no pipe.${says}`);
  return new PeerlineError("storage", `The other side could not go on.${says}`, "Look at what reads and writes there, then start again on both sides.");
}
