/** Sinks at a place the person chose (File System Access): straight to disk, nothing left to download. */
import { PeerlineError } from "../errors.js";
import type { Manifest } from "./manifest.js";
import type { Delivery, Sink } from "./sink.js";
import { FolderSink } from "./sink-folder.js";

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
