/** A store in the origin private file system: on disk, in secure contexts. What no tab uses any more is removed. */
import { random, toHex } from "../bytes.js";
import type { Store } from "./sink.js";

const FOLDER = "peerline-received";

/** Whether this browser has what {@link OpfsStore} needs. */
export async function opfsWorks(): Promise<boolean> {
  if (typeof FileSystemFileHandle === "undefined" || !("createWritable" in FileSystemFileHandle.prototype)) return false;
  try {
    await navigator.storage.getDirectory();
    return true;
  } catch {
    return false; // Private windows of some browsers have the function but refuse.
  }
}

/** One temporary file. */
export class OpfsStore implements Store {
  readonly #name = toHex(random(8));
  #folder: FileSystemDirectoryHandle | undefined;
  #file: FileSystemFileHandle | undefined;
  #stream: FileSystemWritableFileStream | undefined;

  async open(): Promise<void> {
    await hold(this.#name);
    this.#folder = await folder();
    await removeUnused(this.#folder);
    this.#file = await this.#folder.getFileHandle(this.#name, { create: true });
    this.#stream = await this.#file.createWritable();
  }

  async write(position: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#stream?.write({ type: "write", position, data });
  }

  async finish(): Promise<Blob> {
    await this.#stream?.close();
    if (this.#file === undefined) throw new Error("the store was never opened");
    return this.#file.getFile();
  }

  async abort(): Promise<void> {
    await this.#stream?.abort();
    await this.#folder?.removeEntry(this.#name);
  }
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** Holds a lock until this tab closes: a download may still be reading, and nobody tells when it has finished. */
function hold(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(`${FOLDER}/${name}`, () => {
        resolve();
        return new Promise<never>(() => undefined);
      })
      .catch(reject);
  });
}

async function removeUnused(from: FileSystemDirectoryHandle): Promise<void> {
  const { held = [] } = await navigator.locks.query();
  const used = new Set(held.map(({ name }) => name));
  for await (const name of from.keys()) {
    if (used.has(`${FOLDER}/${name}`)) continue;
    // Another tab may be removing it too.
    await from.removeEntry(name).catch(() => undefined);
  }
}
