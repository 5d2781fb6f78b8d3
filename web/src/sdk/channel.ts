/** One data channel: messages held back until somebody reads them, and sending that waits for the network. */
import { Events } from "./events.js";
import { PeerlineError } from "./errors.js";

/** What a channel carries. */
export type ChannelData = string | ArrayBuffer;

/** Events of a {@link Channel}. */
export interface ChannelEvents {
  /** Closed by either side or by the end of the connection; nothing follows. */
  closed: undefined;
}

/** Above this many queued bytes a sender waits: enough for 100 ms at 80 Mbit/s, far from Chromium's 16 MiB limit. */
const HIGH_WATER = 1024 * 1024;
/** Sending goes on when so few are left that the network would soon run dry. */
const LOW_WATER = 256 * 1024;
/** What may arrive before anybody reads: manifests are larger, but nobody sends one before we read. */
const MOST_HELD_BYTES = 1024 * 1024;

/** How long the other side may take to close a channel after the last word: a lost packet is repeated after 1 s. */
const LAST_WORD_MS = 3_000;

/** A message channel of a line. */
export class Channel extends Events<ChannelEvents> {
  readonly label: string;
  readonly protocol: string;
  #reader: ((data: ChannelData) => void) | undefined;
  #held: ChannelData[] = [];
  #heldBytes = 0;
  #waiting: (() => void)[] = [];
  #limit: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** @internal */
  constructor(
    private readonly raw: RTCDataChannel,
    private readonly heard: () => void,
  ) {
    super();
    this.label = raw.label;
    this.protocol = raw.protocol;
    raw.binaryType = "arraybuffer";
    raw.bufferedAmountLowThreshold = LOW_WATER;
    raw.onmessage = ({ data }: MessageEvent<ChannelData>) => this.#receive(data);
    raw.onopen = raw.onbufferedamountlow = () => this.#wake();
    raw.onclose = () => {
      if (this.#ended) return;
      this.#ended = true;
      clearTimeout(this.#limit);
      this.#wake();
      this.emit("closed", undefined);
    };
  }

  /** Starts reading: first what was held back, then every message as it comes. */
  read(reader: (data: ChannelData) => void): void {
    this.#reader = reader;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const data of held) reader(data);
  }

  /** Whether `send` can work. */
  get open(): boolean {
    return this.raw.readyState === "open" && !this.#ended;
  }

  /** Bytes given to `send` that the network has not taken yet. */
  get buffered(): number {
    return this.raw.bufferedAmount;
  }

  /** Resolves when the channel is open and its queue is short. @throws PeerlineError `peer-gone` once it is closed */
  async ready(): Promise<void> {
    // One whose connection was closed may learn of that later than we do.
    while ((this.raw.readyState === "connecting" && !this.#ended) || (this.open && this.raw.bufferedAmount > HIGH_WATER)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (!this.open) throw gone();
  }

  /** Queues one message of at most 65,535 bytes. `data` may be reused at once. @throws PeerlineError once it is closed */
  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (!this.open) throw gone();
    // Two overloads of one browser function.
    if (typeof data === "string") this.raw.send(data);
    else this.raw.send(data);
  }

  /**
   * Sends the last message and leaves it to the other side to close: our own close could overtake it there, since
   * resetting a stream throws away what was not read yet. Closes at once if it cannot be sent.
   */
  sendLast(data: string): void {
    if (!this.open) return this.close();
    this.raw.send(data);
    this.#limit = setTimeout(() => this.close(), LAST_WORD_MS);
  }

  /** Closes; what is queued is still sent. */
  close(): void {
    this.raw.close();
    this.#wake();
  }

  /** Closes, and counts as closed at once: a path that is dead would keep what is queued, and the channel with it. */
  abort(): void {
    this.raw.close();
    this.raw.dispatchEvent(new Event("close"));
  }

  #receive(data: ChannelData): void {
    this.heard();
    if (this.#reader !== undefined) return this.#reader(data);
    this.#heldBytes += typeof data === "string" ? data.length : data.byteLength;
    if (this.#heldBytes > MOST_HELD_BYTES) {
      this.#held = [];
      return this.close();
    }
    this.#held.push(data);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

function gone(): PeerlineError {
  return new PeerlineError("peer-gone", "The connection closed.");
}
