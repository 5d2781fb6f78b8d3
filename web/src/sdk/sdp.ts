/** The one thing we read in a session description: whose certificate DTLS will insist on. */
import { type Bytes, fromHex, toHex } from "./bytes.js";
import { Malformed } from "./json.js";

/** The SHA-256 fingerprint of a description; the browser enforces it. @throws Malformed unless there is exactly one */
export function fingerprintOf(sdp: string): Bytes {
  const found = new Set<string>();
  for (const [, algorithm = "", value = ""] of sdp.matchAll(/^a=fingerprint:(\S+) +(\S+)\s*$/gim)) {
    if (algorithm.toLowerCase() !== "sha-256") throw new Malformed("fingerprint is not SHA-256");
    found.add(toHex(fromHex(value.replaceAll(":", ""))));
  }
  const [only, another] = found;
  if (only?.length !== 64 || another !== undefined) throw new Malformed("not exactly one fingerprint");
  return fromHex(only);
}
