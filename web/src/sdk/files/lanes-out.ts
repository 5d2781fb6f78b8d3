/**
 * The lanes of a sender (docs/protocol.md 5.1, 5.2): which block goes on which, and what has to be sent again when one is lost.
 * The first is on the session's own connection; the others have connections of their own, as many as pay.
 */
import type { Channel } from "../channel.js";
import { Malformed } from "../json.js";
import type { Session } from "../session.js";
import { type Block, LaneWriter, type Place } from "./lane.js";
import { Scaler } from "./scaler.js";

export const LANE_PROTOCOL = "peerline-lane/1";

/** How often it is decided how many there shall be. */
const LOOK_MS = 250;
/** After one that did not come up or was lost, the first time until the next one is tried; twice as long each time, and after some no more. */
const AGAIN_MS = 500;
const MOST_FAILURES = 7;
/** Of one transfer in all. */
const IN_ALL = 256;
/**
 * What may be on its way on one of several, at most, so that one that is slow does not fill the receiver's window; and at least, as a
 * receiver says no more often than each 192 KiB what it has taken.
 */
const MOST_ON_LANE = 1024 * 1024;
const LEAST_ON_LANE = 256 * 1024;
/**
 * A receiver that takes one lane may give on what it gets, in order, and holds the rest in memory (docs/protocol.md 5.5): blocks that a
 * new one may be behind the first one that it has not taken.
 */
const IN_ORDER_LANES = 1;
const MOST_AHEAD = 24;
/** One of which the receiver has said nothing for this long is given up, if it has said something of another meanwhile. */
const STALL_MS = 2_500;

/** What they need of their transfer. */
export interface LanesOutOptions {
  readonly session: Session;
  /** Id of the transfer. */
  readonly id: string;
  readonly first: Channel;
  /** How many the person wants beside the first; as many as pay if undefined. */
  readonly count: number | undefined;
  /** Says something to the receiver. */
  readonly say: (message: object) => void;
  /** These have to be sent again, as their lane was lost. */
  readonly lost: (places: readonly Place[]) => void;
  /** The first one broke. */
  readonly failed: (error: unknown) => void;
}

/** A block on a lane; the receiver has it whole once it has taken `end` bytes of the lane. */
interface OnLane {
  readonly place: Place;
  end: number;
}

class OutLane {
  readonly writer = new LaneWriter();
  /** Bytes of messages that were sent, and of those that the receiver has taken. */
  sent = 0;
  taken = 0;
  /** Since when the receiver could have said more of it, and did not. */
  silentSince = performance.now();
  /** Those that the receiver may not have. */
  blocks: OnLane[] = [];
  /** A block is being written. */
  busy = false;
  /** Takes no more blocks. */
  retiring = false;

  constructor(
    readonly number: number,
    readonly channel: Channel,
  ) {}
}

/** All lanes of one transfer. */
export class LanesOut {
  readonly #lanes = new Map<number, OutLane>();
  /** Broken ones of which the receiver has not said how much it took. */
  readonly #lost = new Map<number, OutLane>();
  /** Bytes of lane messages: what may be sent beyond the last credit, that credit, and all that was sent. */
  #window = Number.POSITIVE_INFINITY;
  #credit = 0;
  #sent = 0;
  #inOrder = false;
  #scaler: Scaler | undefined;
  #looking: ReturnType<typeof setInterval> | undefined;
  #next = 1;
  #opening = 0;
  /** When the receiver last said something of any of them. */
  #heardAt = performance.now();
  #failures = 0;
  #notBefore = 0;
  #over = false;
  #waiting: (() => void)[] = [];

  constructor(private readonly options: LanesOutOptions) {
    this.#lanes.set(0, new OutLane(0, options.first));
  }

  /** The receiver takes blocks: `window` bytes beyond what it took, and `lanes` beside the first. */
  start(total: number, window: number | undefined, lanes: number): void {
    // Room for less than one message would stop the transfer for ever.
    if (window !== undefined) this.#window = Math.max(window, 65_535);
    this.#inOrder = lanes === IN_ORDER_LANES;
    const { session, count } = this.options;
    const most = window === undefined ? 0 : Math.min(lanes, session.lanes);
    if (most === 0 || count === 0) return;
    this.#scaler = new Scaler(performance.now(), most, total, count);
    this.#look();
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Whether the receiver may have to hold too much if `place` is sent now. One that was on a lane which is lost is sent first. */
  isTooFar({ file, block }: Place): boolean {
    if (!this.#inOrder) return false;
    const pending = [...this.#lanes.values(), ...this.#lost.values()].flatMap(({ blocks }) => blocks);
    return pending.some(({ place }) => place.file === file && block - place.block >= MOST_AHEAD);
  }

  /** Puts `block` on a lane, once one has room. */
  async push(block: Block): Promise<void> {
    const lane = await this.#free();
    if (lane !== undefined) this.#run(lane, () => this.#write(lane, block));
  }

  /** Waits until everything has left. */
  async flush(): Promise<void> {
    await this.#until(() => ![...this.#lanes.values()].some(({ busy }) => busy));
    for (const lane of this.#lanes.values()) this.#run(lane, () => this.#put(lane, lane.writer.flush()));
    await this.#until(() => ![...this.#lanes.values()].some(({ busy }) => busy));
  }

  /** The receiver has taken so much altogether, and on one lane. @throws Malformed */
  credited(bytes: number, number: number | undefined, laneBytes: number): void {
    if (bytes < this.#credit || bytes > this.#sent) throw new Malformed("credit for what was not sent");
    this.#credit = bytes;
    const lane = number === undefined ? undefined : this.#lanes.get(number);
    if (lane !== undefined) {
      if (laneBytes < lane.taken || laneBytes > lane.sent) throw new Malformed("credit for what was not sent on a lane");
      lane.taken = laneBytes;
      this.#heard(lane);
      lane.blocks = lane.blocks.filter(({ end }) => end > laneBytes);
      this.#leave(lane);
    }
    this.#wake();
  }

  /** The receiver takes no more from a lane than this. @throws Malformed */
  ended(number: number, bytes: number): void {
    const open = this.#lanes.get(number);
    if (number === 0) throw new Malformed("it ended the first lane");
    if (open !== undefined) this.#break(open);
    const lane = this.#lost.get(number);
    // One that was closed in good order has nothing left to say.
    if (lane === undefined) return;
    if (bytes < lane.taken || bytes > lane.sent) throw new Malformed("it took something else of a lane than was sent");
    this.#lost.delete(number);
    this.#sent -= lane.sent - bytes;
    const again = lane.blocks.filter(({ end }) => end > bytes).map(({ place }) => place);
    if (again.length > 0) this.options.lost(again);
    this.#wake();
  }

  /** Nothing more is sent. The channels are closed, unless that is somebody else's business. */
  end(close = true): void {
    this.#over = true;
    clearInterval(this.#looking);
    if (close) for (const lane of [...this.#lanes.values()]) lane.channel.close();
    this.#wake();
  }

  // --- Sending -------------------------------------------------------------------------------------------------

  async #free(): Promise<OutLane | undefined> {
    const free = (): OutLane | undefined => [...this.#lanes.values()].find(({ busy, retiring }) => !busy && !retiring);
    await this.#until(() => free() !== undefined);
    return free();
  }

  #run(lane: OutLane, work: () => Promise<unknown>): void {
    lane.busy = true;
    work()
      .catch((error: unknown) => this.#broken(lane, error))
      .finally(() => {
        lane.busy = false;
        // The next block may not come before the end of this one has.
        if (this.#inOrder) this.#flushIdle(lane);
        this.#leave(lane);
        this.#wake();
      });
  }

  async #write(lane: OutLane, block: Block): Promise<void> {
    const entry: OnLane = { place: { file: block.file, block: block.block }, end: Number.POSITIVE_INFINITY };
    // Nobody says how much of a lane was taken to a sender that has one only.
    if (this.#scaler !== undefined) lane.blocks.push(entry);
    const before = lane.sent;
    if (!(await this.#put(lane, lane.writer.add(block)))) return;
    entry.end = lane.sent + lane.writer.used;
    // The next block may go on another lane, and the end of this one would wait for long. Small files share messages.
    if (this.#lanes.size > 1 && lane.sent > before) await this.#put(lane, lane.writer.flush());
  }

  /** Returns whether all of it has left: not if the lane broke, or everything is over. */
  async #put(lane: OutLane, messages: Iterable<Uint8Array<ArrayBuffer>>): Promise<boolean> {
    for (const message of messages) {
      await lane.channel.ready();
      // Nothing may come between the question and the answer: other lanes ask as well.
      while (this.#lives(lane) && !this.#allows(lane, message.length)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (!this.#lives(lane)) return false;
      if (lane.sent === lane.taken) lane.silentSince = performance.now();
      this.#sent += message.length;
      lane.sent += message.length;
      lane.channel.send(message);
    }
    return true;
  }

  #lives(lane: OutLane): boolean {
    return !this.#over && this.#lanes.get(lane.number) === lane;
  }

  #allows(lane: OutLane, length: number): boolean {
    if (this.#sent - this.#credit + length > this.#window) return false;
    const most = Math.min(MOST_ON_LANE, Math.max(LEAST_ON_LANE, this.#window / this.#lanes.size));
    return this.#lanes.size === 1 || lane.sent === lane.taken || lane.sent - lane.taken + length <= most;
  }

  async #until(is: () => boolean): Promise<void> {
    while (!this.#over && !is()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  // --- How many ------------------------------------------------------------------------------------------------

  #look(): void {
    const now = performance.now();
    const extra = [...this.#lanes.values()].filter(({ number, retiring }) => number > 0 && !retiring);
    const target = this.#scaler?.target(now, extra.length, this.#credit) ?? 0;
    for (const lane of extra.slice(target)) this.#retire(lane);
    this.#giveUpStalled(now);
    for (let count = extra.length + this.#opening; count < target && this.#next < IN_ALL; count++) {
      if (this.#failures >= MOST_FAILURES || now < this.#notBefore) break;
      void this.#open();
    }
  }

  async #open(): Promise<void> {
    const { session, id } = this.options;
    const number = this.#next++;
    this.#opening++;
    try {
      const channel = session.openLane(`lane/${id}/${number}`, LANE_PROTOCOL);
      await channel.ready();
      if (this.#over) return channel.close();
      const lane = new OutLane(number, channel);
      this.#lanes.set(number, lane);
      this.#failures = 0;
      channel.on("closed", () => this.#broken(lane, undefined));
      this.#wake();
    } catch {
      // The others carry what it would have carried.
      this.#failed();
    } finally {
      this.#opening--;
    }
  }

  #failed(): void {
    this.#notBefore = performance.now() + AGAIN_MS * 2 ** this.#failures++;
  }

  /** The receiver has said something of `lane`. */
  #heard(lane: OutLane): void {
    const now = performance.now();
    // What stood still together says nothing of one of them.
    if (now - this.#heardAt > STALL_MS / 2) for (const one of this.#lanes.values()) one.silentSince = now;
    this.#heardAt = now;
    lane.silentSince = now;
  }

  /** One that stands still while another one does not, or has nothing to do. */
  #giveUpStalled(now: number): void {
    const lanes = [...this.#lanes.values()];
    for (const lane of lanes) {
      if (lane.number === 0 || lane.sent === lane.taken || now - lane.silentSince <= STALL_MS) continue;
      const moves = (other: OutLane): boolean => other.sent === other.taken || now - other.silentSince < STALL_MS / 2;
      if (lanes.some((other) => other !== lane && moves(other))) this.#broken(lane, undefined);
    }
  }

  /** It gets no more blocks, and is closed when the receiver has taken everything: closing earlier could overtake that. */
  #retire(lane: OutLane): void {
    lane.retiring = true;
    this.#leave(lane);
  }

  #leave(lane: OutLane): void {
    if (!lane.retiring || lane.busy || !this.#lives(lane)) return;
    if (lane.writer.used > 0) return this.#flushIdle(lane);
    if (lane.taken < lane.sent) return;
    this.#lanes.delete(lane.number);
    lane.channel.close();
  }

  #flushIdle(lane: OutLane): void {
    if (lane.writer.used > 0) this.#run(lane, () => this.#put(lane, lane.writer.flush()));
  }

  #broken(lane: OutLane, error: unknown): void {
    if (!this.#lives(lane)) return;
    if (lane.number === 0) return this.options.failed(error);
    this.#break(lane);
    this.options.say({ type: "lane-lost", lane: lane.number });
  }

  #break(lane: OutLane): void {
    this.#lanes.delete(lane.number);
    this.#lost.set(lane.number, lane);
    this.#failed();
    lane.channel.abort();
    this.#wake();
  }
}
