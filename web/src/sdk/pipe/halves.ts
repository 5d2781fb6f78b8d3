/** The two directions of one stream: what may be sent, and what came and was not read (docs/protocol.md 9.1). Pure. */
import type { Bytes } from "../bytes.js";
import { Malformed } from "../json.js";

/** What each side may send before it is granted more. */
export const FIRST_WINDOW = 64 * 1024;
/** What may have been granted and not read: enough for 20 MiB/s at 100 ms. */
export const WINDOW = 2 * 1024 * 1024;
/** Most that one read hands out. */
const READ = 256 * 1024;

/** The direction away from here. */
export class Outgoing {
  #sent = 0;
  #limit = FIRST_WINDOW;
  #end: "open" | "ended" | "taken" = "open";

  /** Bytes that were sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Bytes that may be sent now. */
  get credit(): number {
    return this.#limit - this.#sent;
  }

  /** Whether the other side has everything. */
  get taken(): boolean {
    return this.#end === "taken";
  }

  /** So many more are sent. */
  send(bytes: number): void {
    this.#sent += bytes;
  }

  /** So many in all may be sent. A lower limit than before changes nothing. */
  granted(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
  }

  /** There are no more. Returns how many there were. */
  end(): number {
    this.#end = "ended";
    return this.#sent;
  }

  /** The other side says that it has everything. @throws Malformed */
  take(): void {
    if (this.#end !== "ended") throw new Malformed("it took a stream before its end");
    this.#end = "taken";
  }
}

/** The direction towards here. */
export class Incoming {
  /** A ring: however small the pieces are, memory is what was granted and no more. */
  readonly #ring = new Uint8Array(WINDOW);
  #received = 0;
  #read = 0;
  #limit = FIRST_WINDOW;
  #end: "open" | "ended" | "taken" = "open";

  /** Bytes that were read. */
  get read(): number {
    return this.#read;
  }

  /** Whether everything that came was read. */
  get empty(): boolean {
    return this.#read === this.#received;
  }

  /** Whether everything was read, to its end. */
  get over(): boolean {
    return this.#end !== "open" && this.empty;
  }

  /** Whether the other side was told that everything is where it belongs. */
  get taken(): boolean {
    return this.#end === "taken";
  }

  /** Some came. @throws Malformed */
  data(bytes: Uint8Array): void {
    if (this.#end !== "open") throw new Malformed("it sent after the end of a stream");
    if (this.#received + bytes.length > this.#limit) throw new Malformed("it sent more on a stream than it may");
    const at = this.#received % WINDOW;
    const first = bytes.subarray(0, WINDOW - at);
    this.#ring.set(first, at);
    this.#ring.set(bytes.subarray(first.length), 0);
    this.#received += bytes.length;
  }

  /** There are no more than `total`. @throws Malformed */
  ended(total: number): void {
    if (this.#end !== "open") throw new Malformed("it ended a stream twice");
    if (total !== this.#received) throw new Malformed("it ended a stream with a wrong count");
    this.#end = "ended";
  }

  /** What came, as far as it is in one piece; undefined if there is nothing. */
  next(): Bytes | undefined {
    const at = this.#read % WINDOW;
    const length = Math.min(this.#received - this.#read, WINDOW - at, READ);
    if (length === 0) return undefined;
    this.#read += length;
    return this.#ring.slice(at, at + length);
  }

  /** A limit that the other side is to be told: half a window at a time, so that small reads cost no frame each. */
  grant(): number | undefined {
    const limit = this.#read + WINDOW;
    if (this.#end !== "open" || limit < this.#limit + WINDOW / 2) return undefined;
    return (this.#limit = limit);
  }

  /** Everything is where it belongs. Returns whether that is news. @throws Error before the end was read */
  take(): boolean {
    if (!this.over) throw new Error("a pipe is taken when everything was read, to its end");
    const news = this.#end === "ended";
    this.#end = "taken";
    return news;
  }
}
