/**
 * Records on a lane (docs/protocol.md 5.2): blocks cut into messages, and messages put together to blocks. Pure. One copy
 * on either side: into the message, and out of it into the block.
 */
import type { Bytes } from "../bytes.js";
import { Malformed } from "../json.js";
import { MOST_LANES } from "../lanes.js";
import type { Ledger } from "./ledger.js";

/** Which block of which file. */
export interface Place {
  readonly file: number;
  readonly block: number;
}

/** A whole block with the digest that its sender claims. */
export interface Block extends Place {
  readonly bytes: Bytes;
  readonly digest: Bytes;
}

/** Longest data channel message: protocol section 6. */
const LONGEST_MESSAGE = 65_535;
const HEADER = 16;
const DIGEST = 32;
const LAST = 0x8000_0000;
/** A record shorter than this is not worth its header: it waits for the next message. */
const LEAST_PIECE = 1024;
/** Buffers kept for blocks to come: about as many as are being hashed and written. */
const MOST_SPARE = 4;
/** What a sender may have on its way to the disk: 160 MB a second at 100 ms. */
const WINDOW = 16 * 1024 * 1024;
/** At least so many blocks: on every lane one that is not complete counts as long as it is not, and they must never close the window. */
const WINDOW_BLOCKS = MOST_LANES + 3;

/** A lane is told of each time it is this much more; and less once there are many. A sender lets 256 KiB be on their way. */
const STEP = 192 * 1024;
const SMALL_STEP = 64 * 1024;
const MANY_LANES = 4;

/** What a sender is told that was taken. */
export interface Credit {
  readonly bytes: number;
  readonly lane?: number;
  readonly laneBytes?: number;
}

/** Cuts blocks into messages; small blocks share one. */
export class LaneWriter {
  readonly #message = new Uint8Array(LONGEST_MESSAGE);
  readonly #view = new DataView(this.#message.buffer);
  #used = 0;

  /** Yields the messages that became full while `block` was added. Each is valid until the next one is asked for. */
  *add({ file, block, bytes, digest }: Block): Generator<Bytes> {
    let offset = 0;
    while (offset < bytes.length) {
      const left = bytes.length - offset;
      if (this.#room < Math.min(left + DIGEST, LEAST_PIECE)) yield* this.flush();
      const last = this.#room >= left + DIGEST;
      // The last record carries at least one byte beside the digest.
      const length = last ? left : Math.min(left - 1, this.#room);
      this.#record(file, block, offset, last ? length + LAST : length, bytes.subarray(offset, offset + length));
      if (last) this.#append(digest);
      offset += length;
    }
  }

  /** Yields what is left over. */
  *flush(): Generator<Bytes> {
    if (this.#used === 0) return;
    const message = this.#message.subarray(0, this.#used);
    this.#used = 0;
    yield message;
  }

  /** Bytes of the message that is not full yet. */
  get used(): number {
    return this.#used;
  }

  get #room(): number {
    return LONGEST_MESSAGE - this.#used - HEADER;
  }

  #record(file: number, block: number, offset: number, flags: number, data: Uint8Array): void {
    [file, block, offset, flags].forEach((word, i) => this.#view.setUint32(this.#used + 4 * i, word));
    this.#used += HEADER;
    this.#append(data);
  }

  #append(data: Uint8Array): void {
    this.#message.set(data, this.#used);
    this.#used += data.length;
  }
}

/** One lane: the block that has begun on it, and bytes of its messages that were read, and told to the sender. */
interface Lane {
  open: Open | undefined;
  taken: number;
  told: number;
}

interface Open {
  readonly file: number;
  readonly block: number;
  readonly bytes: Bytes;
  filled: number;
}

/**
 * Puts blocks together. Buffers of blocks are used again once they are given back. Nothing makes a channel of a browser
 * wait for a slow disk, so the sender has to: it is told a window, and credit for what is not held any more.
 */
export class LaneReader {
  /** For `accept`. */
  readonly window: number;
  readonly #lanes = new Map<number, Lane>();
  /** Blocks that began and were not given back: the ledger does not have them yet, and still they must not come again. */
  readonly #inFlight = new Set<string>();
  readonly #spare: ArrayBuffer[] = [];
  /** Bytes of messages, of data in them that were not given back, and the last credit. */
  #received = 0;
  #held = 0;
  #credited = 0;

  constructor(
    private readonly blockSize: number,
    private readonly ledger: Pick<Ledger, "blockLength" | "has" | "open">,
  ) {
    this.window = Math.max(WINDOW, WINDOW_BLOCKS * blockSize);
  }

  /** Reads one message of a lane and returns the blocks that it made whole. @throws Malformed */
  read(number: number, message: ArrayBuffer): Block[] {
    if (message.byteLength > LONGEST_MESSAGE) throw new Malformed("lane message too long");
    this.#received += message.byteLength;
    const lane = this.#lane(number);
    lane.taken += message.byteLength;
    if (this.#received - this.#credited > this.window) throw new Malformed("more came than the window allows");
    const view = new DataView(message);
    const whole: Block[] = [];
    let at = 0;
    while (at < message.byteLength) {
      if (message.byteLength - at <= HEADER) throw new Malformed("record is cut off");
      const flags = view.getUint32(at + 12);
      const last = flags >= LAST;
      const length = last ? flags - LAST : flags;
      const end = at + HEADER + length + (last ? DIGEST : 0);
      if (length === 0 || end > message.byteLength) throw new Malformed("record is cut off");
      const open = this.#expect(lane, view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), length);
      open.bytes.set(new Uint8Array(message, at + HEADER, length), open.filled);
      open.filled += length;
      this.#held += length;
      const full = open.filled === open.bytes.length;
      if (last !== full && !(last && this.ledger.open)) throw new Malformed("block has another length");
      if (last) whole.push(this.#close(lane, open, new Uint8Array(message.slice(end - DIGEST, end))));
      at = end;
    }
    return whole;
  }

  /** Takes back a block that the ledger has, or that was damaged and may therefore come again. */
  release({ file, block, bytes }: Block): void {
    this.#inFlight.delete(keyOf(file, block));
    this.#held -= bytes.length;
    if (bytes.buffer.byteLength === this.blockSize && this.#spare.length < MOST_SPARE) this.#spare.push(bytes.buffer);
  }

  /** What to tell the sender that was taken, altogether and on the lane that was just read, once it is much more than last time. */
  credit(number?: number): Credit | undefined {
    const lane = number === undefined ? undefined : this.#lane(number);
    const step = this.#lanes.size > MANY_LANES ? SMALL_STEP : STEP;
    const isMuch = lane !== undefined && lane.taken - lane.told >= step;
    if (!isMuch && this.#received - this.#held - this.#credited < this.window / 8) return undefined;
    return this.#tell(number, lane);
  }

  /** What was taken altogether, though it is little: what a lane had begun is not held any more. */
  total(): Credit {
    return this.#tell(undefined, undefined);
  }

  /** What was not told yet, though it is little. */
  overdue(): Credit | undefined {
    for (const [number, lane] of this.#lanes) if (lane.taken > lane.told) return this.#tell(number, lane);
    return undefined;
  }

  /** A lane has ended: throws away the block that had begun, and says how much was taken. */
  end(number: number): number {
    const { open, taken } = this.#lane(number);
    this.#lanes.delete(number);
    if (open !== undefined) {
      this.#inFlight.delete(keyOf(open.file, open.block));
      this.#held -= open.filled;
    }
    return taken;
  }

  #tell(number: number | undefined, lane: Lane | undefined): Credit {
    this.#credited = this.#received - this.#held;
    const bytes = this.#credited;
    if (number === undefined || lane === undefined) return { bytes };
    lane.told = lane.taken;
    return { bytes, lane: number, laneBytes: lane.taken };
  }

  #lane(number: number): Lane {
    const known = this.#lanes.get(number);
    if (known !== undefined) return known;
    const lane = { open: undefined, taken: 0, told: 0 };
    this.#lanes.set(number, lane);
    return lane;
  }

  #expect(lane: Lane, file: number, block: number, offset: number, length: number): Open {
    const open = lane.open ?? this.#begin(lane, file, block);
    if (open.file !== file || open.block !== block) throw new Malformed("records of two blocks are mixed");
    if (offset !== open.filled || length > open.bytes.length - offset) throw new Malformed("record does not fit its block");
    return open;
  }

  #begin(lane: Lane, file: number, block: number): Open {
    const length = this.ledger.blockLength(file, block);
    if (length === undefined) throw new Malformed("no such block");
    const key = keyOf(file, block);
    if (this.ledger.has(file, block) || this.#inFlight.has(key)) throw new Malformed("a block came twice");
    this.#inFlight.add(key);
    const buffer = length > this.blockSize / 2 ? (this.#spare.pop() ?? new ArrayBuffer(this.blockSize)) : new ArrayBuffer(length);
    const open = { file, block, bytes: new Uint8Array(buffer, 0, length), filled: 0 };
    lane.open = open;
    return open;
  }

  #close(lane: Lane, { file, block, bytes, filled }: Open, digest: Bytes): Block {
    lane.open = undefined;
    return { file, block, bytes: bytes.subarray(0, filled), digest };
  }
}

function keyOf(file: number, block: number): string {
  return `${file}/${block}`;
}
