/** Sinks at a place the person chose (File System Access): straight to disk, nothing left to download. */
import { PeerlineError } from "../errors.js";
import type { Manifest } from "./manifest.js";
import { foldPath } from "./paths.js";
import type { Delivery, Sink } from "./sink.js";

// Not in TypeScript's DOM library, because only Chromium has them.
declare global {
  interface Window {
    showSaveFilePicker?(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
    showDirectoryPicker?(options: { id: string; mode: "readwrite" }): Promise<FileSystemDirectoryHandle>;
  }
}

/** Whether a person can choose a place for files in this browser. */
export function canPick(): boolean {
  return window.showSaveFilePicker !== undefined && window.showDirectoryPicker !== undefined;
}

/** Asks for a place for `manifest`; needs a user gesture. Undefined if the person changed their mind. */
export async function pickSink(manifest: Manifest): Promise<Sink | undefined> {
  try {
    const only = manifest.entries.length === 1 ? manifest.entries[0] : undefined;
    if (only?.kind !== "file") {
      const folder = await window.showDirectoryPicker?.({ id: "peerline", mode: "readwrite" });
      return folder === undefined ? undefined : new FolderSink(folder);
    }
    const suggestedName = only.path.slice(only.path.lastIndexOf("/") + 1);
    const file = await window.showSaveFilePicker?.({ suggestedName });
    return file === undefined ? undefined : new FileSink(file);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return undefined;
    throw new PeerlineError("storage", `This place cannot be used: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** One file, replaced as the save dialog asked. */
class FileSink implements Sink {
  #stream: FileSystemWritableFileStream | undefined;

  constructor(private readonly handle: FileSystemFileHandle) {}

  async open(): Promise<void> {
    this.#stream = await this.handle.createWritable();
  }

  async write(_file: number, position: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#stream?.write({ type: "write", position, data });
  }

  async finish(): Promise<Delivery> {
    await this.#stream?.close();
    return { kind: "placed" };
  }

  async abort(): Promise<void> {
    await this.#stream?.abort();
  }
}

/** A file being written; `left` counts the bytes still to come. */
interface OpenFile {
  readonly stream: Promise<FileSystemWritableFileStream>;
  left: number;
}

/** A tree below a folder. Existing files are never replaced: the transfer is refused before anything is written. */
class FolderSink implements Sink {
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
