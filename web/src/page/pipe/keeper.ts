/** Keeps what comes, in order and of any length, until it is saved. */
import { PeerlineError, type Store } from "peerline";

/** Bytes that are written at a time: a stream of single lines is not a stream of writes. */
const WRITE = 256 * 1024;

/** Writes into a store. */
export class Keeper {
  readonly #buffer = new Uint8Array(WRITE);
  #filled = 0;
  #written = 0;
  #full = false;

  constructor(private readonly store: Store) {}

  /** Bytes that were given to it. */
  get kept(): number {
    return this.#written + this.#filled;
  }

  /** To be called first. @throws PeerlineError `storage` */
  open(): Promise<void> {
    return guarded(this.store.open());
  }

  /** Keeps `bytes`. @throws PeerlineError `storage` */
  async keep(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + WRITE - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === WRITE) await this.#flush();
    }
  }

  /** Everything that was kept, in one object; undefined if that is nothing. @throws PeerlineError `storage` */
  async finish(): Promise<Blob | undefined> {
    // What could not be written once is given up.
    if (!this.#full) await this.#flush();
    if (this.#written > 0) return guarded(this.store.finish());
    await guarded(this.store.abort());
    return undefined;
  }

  async #flush(): Promise<void> {
    if (this.#filled === 0) return;
    this.#full = true;
    await guarded(this.store.write(this.#written, this.#buffer.slice(0, this.#filled)));
    this.#full = false;
    this.#written += this.#filled;
    this.#filled = 0;
  }
}

async function guarded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new PeerlineError("storage", `What came could not be kept: ${error instanceof Error ? error.message : String(error)}.`);
  }
}
