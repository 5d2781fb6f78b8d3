/** Which blocks of a transfer are done, on either side; gives the digests at the end. Pure. */
import type { Bytes } from "../bytes.js";
import { FileDigest, emptyDigest, transferDigest } from "./digest.js";
import { Malformed } from "../json.js";
import { type Entry, MOST_BLOCKS, type Manifest, blocksOf } from "./manifest.js";

/** Book of one transfer. */
export class Ledger {
  readonly #running = new Map<number, FileDigest>();
  readonly #files = new Map<number, Bytes>();
  #bytes = 0;
  #entries: readonly Entry[];
  /** A stream that has not ended: the block behind its last one, the length of one that is not full, and the size. */
  #stream: { blocks: number; short?: { readonly block: number; readonly length: number }; size?: number } | undefined;

  constructor(private readonly manifest: Manifest) {
    this.#entries = manifest.entries;
    if (manifest.stream) this.#stream = { blocks: 0 };
    manifest.entries.forEach((entry, index) => {
      if (entry.kind === "file" && entry.size === 0 && !manifest.stream) this.#files.set(index, emptyDigest());
    });
  }

  /** Whether a block may end before it has its length: the last one of a stream. */
  get open(): boolean {
    return this.#stream !== undefined;
  }

  /** Length of a block in bytes, or undefined if the manifest has none there. */
  blockLength(file: number, block: number): number | undefined {
    const entry = this.#entries[file];
    const { blockSize } = this.manifest;
    if (this.#stream !== undefined) return file === 0 && block < MOST_BLOCKS ? blockSize : undefined;
    if (entry?.kind !== "file" || block >= blocksOf(entry.size, blockSize)) return undefined;
    return Math.min(blockSize, entry.size - block * blockSize);
  }

  /** Whether a block is done. */
  has(file: number, block: number): boolean {
    return this.#files.has(file) || this.#running.get(file)?.has(block) === true;
  }

  /** Notes a block whose digest is right. @throws Malformed if a stream cannot have such a block */
  add(file: number, block: number, digest: Bytes, length = this.blockLength(file, block)): void {
    const entry = this.#entries[file];
    if (entry?.kind !== "file" || length === undefined || this.has(file, block)) return;
    this.#bytes += length;
    const running = this.#running.get(file) ?? new FileDigest();
    running.add(block, digest);
    const stream = this.#stream;
    if (stream !== undefined) {
      this.#running.set(file, running);
      stream.blocks = Math.max(stream.blocks, block + 1);
      if (length < this.manifest.blockSize) {
        if (stream.short !== undefined) throw new Malformed("a stream with two ends");
        stream.short = { block, length };
      }
      return this.#endStream();
    }
    if (running.whole < blocksOf(entry.size, this.manifest.blockSize)) return void this.#running.set(file, running);
    this.#running.delete(file);
    this.#files.set(file, running.finish());
  }

  /** The sender says how long the stream was. @throws Malformed if it was not */
  end(size: number): void {
    if (this.#stream === undefined) return;
    this.#stream.size = size;
    this.#endStream();
  }

  /** Ends the stream if it has an end and everything before it is there. */
  #endStream(): void {
    const stream = this.#stream;
    if (stream?.size === undefined) return;
    const { size, short } = stream;
    const { blockSize } = this.manifest;
    const blocks = blocksOf(size, blockSize);
    const rest = size % blockSize;
    const fits = rest === 0 ? short === undefined : short?.block === blocks - 1 && short.length === rest;
    if (blocks > MOST_BLOCKS || stream.blocks > blocks || (short !== undefined && !fits)) throw new Malformed("the stream has another length");
    const running = this.#running.get(0) ?? new FileDigest();
    if (running.whole < blocks) return;
    if (!fits) throw new Malformed("the stream has another length");
    this.#stream = undefined;
    this.#entries = this.#entries.map((entry) => (entry.kind === "file" ? { ...entry, size } : entry));
    this.#files.set(0, running.finish());
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
    return transferDigest(this.#entries, (index) => {
      const digest = this.#files.get(index);
      if (digest === undefined) throw new Error("the transfer is not whole");
      return digest;
    });
  }
}
