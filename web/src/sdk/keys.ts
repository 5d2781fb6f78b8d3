/** From the CPace key to the keys of a session, and to the phrase people can compare (docs/protocol.md 2.2, 2.4). */
import { expand, extract } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { type Bytes, concat, lv, utf8 } from "./bytes.js";
import { wordAt } from "./code.js";

/** Which side made the code (`host`) and which was given it (`guest`). */
export type Role = "guest" | "host";

/** The other role. */
export function otherRole(role: Role): Role {
  return role === "guest" ? "host" : "guest";
}

/** Keys of one paired session. */
export interface Keys {
  /** For the confirmation tags. */
  readonly confirm: Readonly<Record<Role, Bytes>>;
  /** For sealed signaling, by sending side. */
  readonly seal: Readonly<Record<Role, Bytes>>;
  /** For the tag over both certificates, by sending side. */
  readonly certificates: Readonly<Record<Role, Bytes>>;
  /** Six words, equal on both sides exactly when nobody is in the middle. */
  readonly phrase: string;
}

const SALT = utf8("peerline/1");

/** The transcript that both confirm. */
export function transcriptOf(sid: Uint8Array, ya: Uint8Array, ada: Uint8Array, yb: Uint8Array, adb: Uint8Array): Bytes {
  return concat(lv(sid), lv(ya), lv(ada), lv(yb), lv(adb));
}

/** All keys from the 64 bytes that CPace gave. */
export function deriveKeys(isk: Uint8Array): Keys {
  const prk = extract(sha256, isk, SALT);
  const key = (info: string, length = 32): Bytes => Uint8Array.from(expand(sha256, prk, utf8(info), length));
  const pair = (purpose: string): Record<Role, Bytes> => ({ guest: key(`${purpose} guest`), host: key(`${purpose} host`) });
  return { confirm: pair("confirm"), seal: pair("seal"), certificates: pair("certificates"), phrase: phraseOf(key("phrase", 9)) };
}

/** HMAC-SHA256. */
export function tag(key: Uint8Array, message: Uint8Array): Bytes {
  return Uint8Array.from(hmac(sha256, key, message));
}

/** Six words from the first 66 bits of 9 bytes. */
export function phraseOf(bytes: Uint8Array): string {
  const bits = bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) >> 6n;
  return [5n, 4n, 3n, 2n, 1n, 0n].map((i) => wordAt(Number((bits >> (11n * i)) & 0x7ffn))).join(" ");
}
