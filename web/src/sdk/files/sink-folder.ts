/** A sink that makes a tree of files below a folder that the person chose. */
import { type ClaimedFile, Claims, taken } from "./claims.js";
import type { Manifest } from "./manifest.js";
import { foldPath } from "./paths.js";
import type { Delivery, Sink } from "./sink.js";

/** A file being written; `left` counts the bytes still to come. */
interface OpenFile {
  readonly file: Promise<ClaimedFile>;
  left: number;
}

/**
 * A tree below a folder. Existing files are never replaced: the transfer is refused before anything is written. From then
 * on the names at the top are taken, so that nobody else uses them meanwhile.
 */
export class FolderSink implements Sink {
  #manifest: Manifest | undefined;
  readonly #claims = new Claims();
  readonly #folders: Map<string, Promise<FileSystemDirectoryHandle>>;
  /** Those at the top. */
  readonly #files = new Map<string, ClaimedFile>();
  readonly #open = new Map<number, OpenFile>();

  constructor(private readonly root: FileSystemDirectoryHandle) {
    this.#folders = new Map([["", Promise.resolve(root)]]);
  }

  async open(manifest: Manifest): Promise<void> {
    this.#manifest = manifest;
    // One transfer of all tabs at a time: two that found a name free would share what they make then.
    await navigator.locks.request("peerline-folder", () => this.#claimTop(manifest));
    for (const entry of manifest.entries) {
      if (entry.kind === "directory") await this.#folder(entry.path);
      else if (entry.size === 0) await this.#file(entry.path);
    }
  }

  async write(file: number, position: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    const entry = this.#manifest?.entries[file];
    if (entry?.kind !== "file") throw new Error("a sink only gets blocks of files");
    const open = this.#open.get(file) ?? { file: this.#begin(entry.path), left: entry.size };
    this.#open.set(file, open);
    const claimed = await open.file;
    await claimed.write(position, data);
    open.left -= data.length;
    if (open.left > 0) return;
    await claimed.close();
    this.#open.delete(file);
  }

  async finish(): Promise<Delivery> {
    return { kind: "placed" };
  }

  async abort(): Promise<void> {
    await Promise.allSettled([...this.#open.values()].map(async ({ file }) => (await file).abort()));
    await this.#claims.remove();
  }

  async #claimTop({ entries }: Manifest): Promise<void> {
    const tops = new Set(entries.map(({ path }) => foldPath(topOf(path))));
    // Also what differs by nothing but its case.
    for await (const name of this.root.keys()) {
      if (tops.has(foldPath(name))) throw taken(name);
    }
    for (const { kind, path } of entries) {
      const top = topOf(path);
      if (kind === "directory" || top !== path) await this.#folder(top);
      else this.#files.set(path, await this.#claims.file(this.root, path));
    }
  }

  async #begin(path: string): Promise<ClaimedFile> {
    const file = await this.#file(path);
    await file.open();
    return file;
  }

  async #file(path: string): Promise<ClaimedFile> {
    return this.#files.get(path) ?? this.#claims.file(await this.#folder(parentOf(path)), path);
  }

  #folder(path: string): Promise<FileSystemDirectoryHandle> {
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const made = this.#folder(parentOf(path)).then((parent) => this.#claims.directory(parent, path));
    this.#folders.set(path, made);
    return made;
  }
}

function topOf(path: string): string {
  return path.split("/", 1)[0] ?? "";
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
