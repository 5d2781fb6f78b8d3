/** A store of Blobs, for insecure contexts: browsers move large Blobs to disk, so the page holds only handles. */
import type { Store } from "./sink.js";

/** Blobs put together in order of position. */
export class BlobStore implements Store {
  #parts: { position: number; blob: Blob }[] = [];

  async open(): Promise<void> {
    // Nothing to prepare.
  }

  async write(position: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#parts.push({ position, blob: new Blob([bytes]) });
  }

  async finish(): Promise<Blob> {
    this.#parts.sort((a, b) => a.position - b.position);
    return new Blob(this.#parts.map(({ blob }) => blob));
  }

  async abort(): Promise<void> {
    this.#parts = [];
  }
}
