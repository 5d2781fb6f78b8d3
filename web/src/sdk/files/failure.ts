/** What a `cancel` of the other side means for a person here. */
import { type FailureCode, PeerlineError } from "../errors.js";
import { cleaned } from "../text.js";
import { type CancelCode, type Cancel } from "./messages.js";

const MEANINGS: Readonly<Record<CancelCode, readonly [FailureCode, string]>> = {
  cancelled: ["cancelled", "The other side cancelled this transfer."],
  "no-space": ["storage", "The other side has not enough space."],
  exists: ["storage", "The other side already has files of these names."],
  "bad-manifest": ["protocol", "The other side refused these names."],
  "bad-block": ["verification", "Data was damaged again and again on its way."],
  "source-changed": ["source-changed", "A file changed on the other side while it was sent."],
  io: ["storage", "The other side could not read or write its files."],
  "too-large": ["declined", "It is larger than the other side takes."],
  protocol: ["protocol", "The other side stopped because of a protocol error."],
};

/**
 * How long the reason for a closed lane may take: it comes on the transfer's own channel, which the end of the lane
 * can overtake. A lost packet is repeated after 1 s.
 */
export const REASON_MS = 3_000;

/** The failure of a transfer whose channels closed without a word. */
export function lost(): PeerlineError {
  return new PeerlineError("peer-gone", "The connection was lost.");
}

/** The failure for a `cancel`. */
export function failureOfCancel({ code }: Cancel): PeerlineError {
  const [failure, message] = MEANINGS[code];
  return new PeerlineError(failure, message);
}

/** What a receiver gave as its reason to decline, as a sentence of its own; a person that says no gives none. */
export function reasonGiven(reason: string): string {
  const words = cleaned(reason, 200).trim();
  return ["", "declined", "they said no"].includes(words) ? "" : ` It says: ${words}.`;
}
