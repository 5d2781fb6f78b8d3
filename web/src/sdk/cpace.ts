/**
 * CPace, suite CPACE-RISTR255-SHA512 (draft-irtf-cfrg-cpace), initiator-responder: from a short shared secret to a
 * strong key, with one guess for each run. Pure; tested against the draft's own vectors.
 */
import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { type Bytes, concat, equal, lv, random, utf8 } from "./bytes.js";

/** What both sides know before they start. */
export interface CpaceInput {
  /** The shared secret. */
  readonly prs: Uint8Array;
  /** Channel identifier: what this exchange is for. */
  readonly ci: Uint8Array;
  /** Session identifier, unique for this run. */
  readonly sid: Uint8Array;
}

/** One side's public message: its share and the data that goes with it. */
export interface CpaceMessage {
  readonly share: Uint8Array;
  readonly ad: Uint8Array;
}

/** A private scalar, as a little-endian number. */
export type Scalar = bigint;

const DSI = utf8("CPaceRistretto255");
/** Input block of SHA-512. */
const BLOCK = 128;

/** A fresh scalar: 252 random bits, which is below the group order. */
export function drawScalar(): Scalar {
  for (;;) {
    const bytes = random(32);
    bytes[31] = (bytes[31] ?? 0) & 0x0f;
    const scalar = scalarOf(bytes);
    if (scalar !== 0n) return scalar;
  }
}

/** The scalar of 32 little-endian bytes. */
export function scalarOf(bytes: Uint8Array): Scalar {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/** Our public share for `scalar`. */
export function shareOf(input: CpaceInput, scalar: Scalar): Bytes {
  return Uint8Array.from(generator(input).multiply(scalar).toBytes());
}

/** The encoded generator: a map of everything both sides know to a group element. */
export function generatorOf(input: CpaceInput): Bytes {
  return Uint8Array.from(generator(input).toBytes());
}

/**
 * The intermediate session key (64 bytes), or undefined if the other share does not decode or the product is the identity.
 * `scalar` is ours, `theirs` the other share; `a` is the initiator's message and `b` the responder's.
 */
export function sessionKey(input: CpaceInput, scalar: Scalar, theirs: Uint8Array, a: CpaceMessage, b: CpaceMessage): Bytes | undefined {
  const product = multiplyChecked(scalar, theirs);
  if (product === undefined) return undefined;
  const head = concat(lv(concat(DSI, utf8("_ISK"))), lv(input.sid), lv(product));
  return Uint8Array.from(sha512(concat(head, lv(a.share), lv(a.ad), lv(b.share), lv(b.ad))));
}

/** `scalar_mult_vfy` of the draft, with undefined for the neutral element. */
export function multiplyChecked(scalar: Scalar, share: Uint8Array): Bytes | undefined {
  try {
    const product = ristretto255.Point.fromBytes(share).multiply(scalar).toBytes();
    return equal(product, ristretto255.Point.ZERO.toBytes()) ? undefined : Uint8Array.from(product);
  } catch {
    return undefined;
  }
}

function generator({ prs, ci, sid }: CpaceInput): ReturnType<typeof ristretto255_hasher.hashToCurve> {
  const padding = Math.max(0, BLOCK - 1 - lv(prs).length - lv(DSI).length);
  const text = concat(lv(DSI), lv(prs), lv(new Uint8Array(padding)), lv(ci), lv(sid));
  const derive = ristretto255_hasher.deriveToCurve;
  if (derive === undefined) throw new Error("ristretto255 element derivation is missing");
  return derive(sha512(text));
}
