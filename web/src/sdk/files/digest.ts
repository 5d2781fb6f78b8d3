/** SHA-256 of blocks, files and transfers (docs/protocol.md 5.4). */
import { sha256 } from "@noble/hashes/sha2.js";
import { type Bytes, concat, u32, u64, utf8 } from "../bytes.js";
import type { Entry } from "./manifest.js";

/** SHA-256 of a block: by the browser where it may (secure contexts), else in JavaScript. */
export async function blockDigest(block: Bytes): Promise<Bytes> {
  // Absent on plain http, whatever the types say.
  const subtle = crypto.subtle as SubtleCrypto | undefined;
  return subtle === undefined ? Uint8Array.from(sha256(block)) : new Uint8Array(await subtle.digest("SHA-256", block));
}

/** Digest of one file from the digests of its blocks, which may come in any order. */
export class FileDigest {
  readonly #hash = sha256.create();
  readonly #ahead = new Map<number, Bytes>();
  #next = 0;

  /** Takes the digest of `block`. */
  add(block: number, digest: Bytes): void {
    this.#ahead.set(block, digest);
    for (let next = this.#ahead.get(this.#next); next !== undefined; next = this.#ahead.get(this.#next)) {
      this.#hash.update(next);
      this.#ahead.delete(this.#next++);
    }
  }

  /** Whether `block` was added. */
  has(block: number): boolean {
    return block < this.#next || this.#ahead.has(block);
  }

  /** How many blocks were added without a gap. */
  get whole(): number {
    return this.#next;
  }

  /** The digest; nothing can be added afterwards. */
  finish(): Bytes {
    return Uint8Array.from(this.#hash.digest());
  }
}

/** Digest of a transfer; `fileDigest` gives that of the entry at an index. */
export function transferDigest(entries: readonly Entry[], fileDigest: (index: number) => Uint8Array): Bytes {
  const hash = sha256.create();
  entries.forEach((entry, index) => {
    const path = utf8(entry.path);
    hash.update(concat(Uint8Array.of(entry.kind === "file" ? 1 : 2), u32(path.length), path));
    if (entry.kind === "file") hash.update(concat(u64(entry.size), fileDigest(index)));
  });
  return Uint8Array.from(hash.digest());
}

/** Digest of a file without blocks. */
export function emptyDigest(): Bytes {
  return Uint8Array.from(sha256(new Uint8Array()));
}
