/** Sealed records: ChaCha20-Poly1305 with direction and counter bound in (docs/protocol.md 2.3). */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { type Bytes, concat, u64, utf8 } from "./bytes.js";
import type { Role } from "./keys.js";

/** First byte of a sealed record. */
export const SEALED = 0x04;
const HEADER = 9;

/** Seals what `role` says; the counter starts at 0 and never repeats under one key. */
export class Sealer {
  #counter = 0;
  constructor(
    private readonly key: Uint8Array,
    private readonly role: Role,
  ) {}

  seal(plaintext: Uint8Array): Bytes {
    const counter = u64(this.#counter++);
    return concat(Uint8Array.of(SEALED), counter, cipher(this.key, this.role, counter).encrypt(plaintext));
  }
}

/** Opens what `role` said, exactly in order. */
export class Opener {
  #next = 0;
  constructor(
    private readonly key: Uint8Array,
    private readonly role: Role,
  ) {}

  /**
   * The plaintext of a record that may have lost others before it: undefined, and nothing changes, if it does not open
   * or is not newer than all that did.
   */
  openAhead(record: Uint8Array): Bytes | undefined {
    if (record.length < HEADER) return undefined;
    const next = this.#next;
    const counter = Number(new DataView(record.buffer, record.byteOffset).getBigUint64(1));
    if (counter < next || !Number.isSafeInteger(counter)) return undefined;
    this.#next = counter;
    const plaintext = this.open(record);
    if (plaintext === undefined) this.#next = next;
    return plaintext;
  }

  /** The plaintext, or undefined if the record is not exactly the next one of that side. */
  open(record: Uint8Array): Bytes | undefined {
    const counter = u64(this.#next);
    if (record.length < HEADER + 16 || record[0] !== SEALED) return undefined;
    if (counter.some((byte, i) => record[1 + i] !== byte)) return undefined;
    try {
      const plaintext = cipher(this.key, this.role, counter).decrypt(record.subarray(HEADER));
      this.#next++;
      return Uint8Array.from(plaintext);
    } catch {
      return undefined;
    }
  }
}

function cipher(key: Uint8Array, role: Role, counter: Bytes): ReturnType<typeof chacha20poly1305> {
  const nonce = concat(new Uint8Array(4), counter);
  return chacha20poly1305(key, nonce, concat(utf8(`peerline/1 sealed ${role}`), counter));
}
