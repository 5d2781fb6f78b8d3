/** A sink that ends in one download: the file itself, or a zip when there are several. */
import { crc32, joinCrc32 } from "./crc32.js";
import type { Manifest } from "./manifest.js";
import type { Delivery, Sink, Store } from "./sink.js";
import { type ZipLayout, layOutZip, zipDirectory, zipHeader } from "./zip.js";

/** Checksums of a file's blocks by offset, until the file is whole. */
interface Running {
  readonly parts: { readonly offset: number; readonly length: number; readonly crc: number }[];
}

/** Writes into `store` where the bytes will be in the end, so nothing is copied afterwards. */
export class DownloadSink implements Sink {
  #plan: { readonly manifest: Manifest; readonly zip?: ZipLayout } | undefined;
  readonly #running = new Map<number, Running>();

  constructor(private readonly store: Store) {}

  async open(manifest: Manifest): Promise<void> {
    const single = manifest.entries.length === 1 && manifest.files === 1;
    this.#plan = single ? { manifest } : { manifest, zip: layOutZip(manifest.entries) };
    await this.store.open();
  }

  async write(file: number, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const zip = this.#plan?.zip;
    if (zip === undefined) return this.store.write(offset, bytes);
    const running = this.#running.get(file) ?? { parts: [] };
    this.#running.set(file, running);
    running.parts.push({ offset, length: bytes.length, crc: crc32(bytes) });
    await this.store.write((zip.data[file] ?? 0) + offset, bytes);
  }

  async finish(): Promise<Delivery> {
    if (this.#plan === undefined) throw new Error("the sink was never opened");
    const { manifest, zip } = this.#plan;
    const first = manifest.entries[0];
    if (zip === undefined) return { kind: "download", blob: await this.store.finish(), name: baseName(first?.path ?? "file") };
    const checksums = manifest.entries.map((_, file) => this.#checksum(file));
    for (const [file, entry] of manifest.entries.entries()) {
      await this.store.write(zip.headers[file] ?? 0, zipHeader(entry, checksums[file] ?? 0));
    }
    await this.store.write(zip.directory, zipDirectory(manifest.entries, zip, checksums));
    return { kind: "download", blob: await this.store.finish(), name: `${zipName(manifest)}.zip` };
  }

  abort(): Promise<void> {
    return this.store.abort();
  }

  #checksum(file: number): number {
    const parts = this.#running.get(file)?.parts ?? [];
    parts.sort((a, b) => a.offset - b.offset);
    return parts.reduce((crc, part) => joinCrc32(crc, part.crc, part.length), 0);
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The folder's own name if everything is in one, else a plain one. */
function zipName({ entries }: Manifest): string {
  const tops = new Set(entries.map(({ path }) => path.split("/", 1)[0] ?? ""));
  const [first = ""] = tops;
  return tops.size === 1 && first !== "" ? first : "files";
}
