/** A sink that makes a tree of files below a folder that the person chose. */
import { PeerlineError } from "../errors.js";
import type { Manifest } from "./manifest.js";
import { foldPath } from "./paths.js";
import type { Delivery, Sink } from "./sink.js";

/** A file being written; `left` counts the bytes still to come. */
interface OpenFile {
  readonly stream: Promise<FileSystemWritableFileStream>;
  left: number;
}

/** A tree below a folder. Existing files are never replaced: the transfer is refused before anything is written. */
export class FolderSink implements Sink {
  #manifest: Manifest | undefined;
  readonly #folders = new Map<string, Promise<FileSystemDirectoryHandle>>();
  readonly #open = new Map<number, OpenFile>();
  readonly #made: string[] = [];

  constructor(private readonly root: FileSystemDirectoryHandle) {}

  async open(manifest: Manifest): Promise<void> {
    this.#manifest = manifest;
    const tops = new Set(manifest.entries.map(({ path }) => foldPath(path.split("/", 1)[0] ?? "")));
    for await (const name of this.root.keys()) {
      if (tops.has(foldPath(name))) throw new PeerlineError("storage", `“${name}” is already in this folder.`, "Choose another folder, or rename what is there.");
    }
    for (const entry of manifest.entries) {
      if (entry.kind === "directory") await this.#folder(entry.path);
      else if (entry.size === 0) await (await this.#create(entry.path)).close();
    }
  }

  async write(file: number, position: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    const entry = this.#manifest?.entries[file];
    if (entry?.kind !== "file") throw new Error("a sink only gets blocks of files");
    const open = this.#open.get(file) ?? { stream: this.#create(entry.path), left: entry.size };
    this.#open.set(file, open);
    const stream = await open.stream;
    await stream.write({ type: "write", position, data });
    open.left -= data.length;
    if (open.left > 0) return;
    this.#open.delete(file);
    await stream.close();
  }

  async finish(): Promise<Delivery> {
    return { kind: "placed" };
  }

  async abort(): Promise<void> {
    await Promise.allSettled([...this.#open.values()].map(async ({ stream }) => (await stream).abort()));
    for (const name of this.#made) await this.root.removeEntry(name, { recursive: true });
  }

  async #create(path: string): Promise<FileSystemWritableFileStream> {
    const cut = path.lastIndexOf("/");
    const folder = cut < 0 ? this.root : await this.#folder(path.slice(0, cut));
    if (cut < 0) this.#made.push(path);
    return (await folder.getFileHandle(path.slice(cut + 1), { create: true })).createWritable();
  }

  #folder(path: string): Promise<FileSystemDirectoryHandle> {
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const cut = path.lastIndexOf("/");
    if (cut < 0) this.#made.push(path);
    const parent = cut < 0 ? Promise.resolve(this.root) : this.#folder(path.slice(0, cut));
    const made = parent.then((folder) => folder.getDirectoryHandle(path.slice(cut + 1), { create: true }));
    this.#folders.set(path, made);
    return made;
  }
}
