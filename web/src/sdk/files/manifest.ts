/** What a transfer consists of, and the rules that decide whether to believe it (docs/protocol.md 5.3). Pure. */
import { Malformed, type Fields, array, integer, object, oneOf, text } from "../json.js";
import { PathSet } from "./paths.js";

/** One file or directory. */
export type Entry =
  | { readonly kind: "directory"; readonly path: string; readonly mtime?: number; readonly mode?: number }
  | { readonly kind: "file"; readonly path: string; readonly size: number; readonly mtime?: number; readonly mode?: number };

/** The counts that come before the entries. */
export interface Offer {
  readonly title: string;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly entries: number;
  readonly blockSize: number;
  /** One file, whose size is known at its end only (5.7) and is 0 here. */
  readonly stream?: true;
}

/** A whole, valid manifest. */
export interface Manifest extends Omit<Offer, "entries"> {
  readonly entries: readonly Entry[];
}

/** Protocol 5.3. */
export const MOST_ENTRIES = 100_000;
const MOST_BYTES = Number.MAX_SAFE_INTEGER;
/** All paths together: 100,000 entries of 160 bytes, and a bound for hostile ones. */
const MOST_PATH_BYTES = 16 * 1024 * 1024;
const LEAST_BLOCK = 64 * 1024;
const MOST_BLOCK = 16 * 1024 * 1024;
/** Block numbers have 32 bits. */
export const MOST_BLOCKS = 2 ** 32 - 1;

/** How many blocks a file of `size` bytes has. */
export function blocksOf(size: number, blockSize: number): number {
  return Math.ceil(size / blockSize);
}

/** Reads the fields of an `offer`. @throws Malformed */
export function parseOffer(fields: Fields): Offer {
  integer(fields, "version", 1, 1);
  const files = integer(fields, "files", 0, MOST_ENTRIES);
  const directories = integer(fields, "directories", 0, MOST_ENTRIES);
  const blockSize = integer(fields, "blockSize", LEAST_BLOCK, MOST_BLOCK);
  const entries = integer(fields, "entries", 1, MOST_ENTRIES);
  if ((blockSize & (blockSize - 1)) !== 0) throw new Malformed("block size is not a power of two");
  if (files + directories !== entries) throw new Malformed("counts do not add up");
  const bytes = integer(fields, "bytes", 0, MOST_BYTES);
  const stream = fields["stream"] === true;
  if (stream && (files !== 1 || directories !== 0 || bytes !== 0)) throw new Malformed("a stream is one file without a size");
  return { title: text(fields, "title", 1024), files, directories, bytes, entries, blockSize, ...(stream ? { stream } : {}) };
}

/** Collects the entries that follow an offer and believes them only as a whole. */
export class ManifestReader {
  readonly #entries: Entry[] = [];
  readonly #paths = new PathSet();
  #bytes = 0;
  #files = 0;
  #pathBytes = 0;

  constructor(private readonly offer: Offer) {}

  /** Takes an `entries` message; returns the manifest when it is whole. @throws Malformed */
  add(fields: Fields): Manifest | undefined {
    if (integer(fields, "from", 0, MOST_ENTRIES) !== this.#entries.length) throw new Malformed("entries out of order");
    for (const given of array(fields, "entries", MOST_ENTRIES)) this.#entry(object(given, "entry"));
    if (this.#entries.length < this.offer.entries) return undefined;
    const { files, directories, bytes, title, blockSize, stream } = this.offer;
    if (this.#files !== files || this.#bytes !== bytes) throw new Malformed("entries differ from the offer");
    return { title, files, directories, bytes, blockSize, entries: this.#entries, ...(stream ? { stream } : {}) };
  }

  #entry(fields: Fields): void {
    if (this.#entries.length === this.offer.entries) throw new Malformed("more entries than offered");
    const path = text(fields, "path", 4096);
    const kind = oneOf(fields, "kind", ["file", "directory"]);
    this.#pathBytes += path.length;
    this.#paths.add(path, kind);
    if (this.#paths.size > MOST_ENTRIES) throw new Malformed("too many folders");
    if (this.#pathBytes > MOST_PATH_BYTES) throw new Malformed("paths are too long in total");
    const extra = optionalNumbers(fields);
    if (kind === "directory") return void this.#entries.push({ kind, path, ...extra });
    if (this.offer.stream && fields["size"] !== undefined) throw new Malformed("a stream has a size");
    const size = this.offer.stream ? 0 : integer(fields, "size", 0, MOST_BYTES);
    this.#bytes += size;
    this.#files++;
    if (this.#bytes > MOST_BYTES) throw new Malformed("sizes are too large in total");
    if (blocksOf(size, this.offer.blockSize) > MOST_BLOCKS) throw new Malformed("too many blocks");
    this.#entries.push({ kind, path, size, ...extra });
  }
}

/** Times and modes are only advice: a strange one is dropped, not believed. */
function optionalNumbers(fields: Fields): { mtime?: number; mode?: number } {
  const { mtime, mode } = fields;
  return {
    ...(Number.isSafeInteger(mtime) && Math.abs(mtime as number) < 8.64e15 ? { mtime: mtime as number } : {}),
    ...(Number.isSafeInteger(mode) ? { mode: (mode as number) & 0o777 } : {}),
  };
}
