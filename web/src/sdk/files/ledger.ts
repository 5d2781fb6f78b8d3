/** Which blocks of a transfer are done, on either side; gives the digests at the end. Pure. */
import type { Bytes } from "../bytes.js";
import { FileDigest, emptyDigest, transferDigest } from "./digest.js";
import { type Manifest, blocksOf } from "./manifest.js";

/** Book of one transfer. */
export class Ledger {
  readonly #running = new Map<number, FileDigest>();
  readonly #files = new Map<number, Bytes>();
  #bytes = 0;

  constructor(private readonly manifest: Manifest) {
    manifest.entries.forEach((entry, index) => {
      if (entry.kind === "file" && entry.size === 0) this.#files.set(index, emptyDigest());
    });
  }

  /** Length of a block in bytes, or undefined if the manifest has none there. */
  blockLength(file: number, block: number): number | undefined {
    const entry = this.manifest.entries[file];
    const { blockSize } = this.manifest;
    if (entry?.kind !== "file" || block >= blocksOf(entry.size, blockSize)) return undefined;
    return Math.min(blockSize, entry.size - block * blockSize);
  }

  /** Whether a block is done. */
  has(file: number, block: number): boolean {
    return this.#files.has(file) || this.#running.get(file)?.has(block) === true;
  }

  /** Notes a block whose digest is right. */
  add(file: number, block: number, digest: Bytes): void {
    const entry = this.manifest.entries[file];
    const length = this.blockLength(file, block);
    if (entry?.kind !== "file" || length === undefined || this.has(file, block)) return;
    this.#bytes += length;
    const running = this.#running.get(file) ?? new FileDigest();
    running.add(block, digest);
    if (running.whole < blocksOf(entry.size, this.manifest.blockSize)) return void this.#running.set(file, running);
    this.#running.delete(file);
    this.#files.set(file, running.finish());
  }

  /** Bytes done. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Files done. */
  get files(): number {
    return this.#files.size;
  }

  /** Whether everything is done. */
  get whole(): boolean {
    return this.#files.size === this.manifest.files;
  }

  /** Digest of the transfer, once it is whole. */
  digest(): Bytes {
    return transferDigest(this.manifest.entries, (index) => {
      const digest = this.#files.get(index);
      if (digest === undefined) throw new Error("the transfer is not whole");
      return digest;
    });
  }
}
