/** The channel on which leader and follower talk: what came, in turn, and pings besides. */
import type { Channel } from "../channel.js";
import { PeerlineError } from "../errors.js";
import { Malformed } from "../json.js";
import { type Message, parse, write } from "./messages.js";
import { Pings } from "./pings.js";

/** How long answers to pings are waited for, behind whatever else is on its way. */
const SETTLE_MS = 15_000;
/** What waits to be heard: more than is ever said at a time by a side that waits for its turn. */
const MOST_WAITING = 32;

/** Bytes of answers on their way. */
const MOST_UNHEARD = 64 * 1024;

/** This side's end. */
export class Talk {
  readonly pings = new Pings();
  readonly #heard: Message[] = [];
  #error: unknown;
  #waiting: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `over` is called once nothing more is said or heard. */
  constructor(
    private readonly channel: Channel,
    private readonly over: () => void,
  ) {
    channel.on("closed", () => this.end(new PeerlineError("peer-gone", "The connection closed before everything was measured.")));
    channel.read((data) => {
      try {
        this.#receive(parse(data));
      } catch (error) {
        this.end(error);
      }
    });
  }

  /** @throws what ended it, if it is over */
  say(message: Message): void {
    if (this.#error !== undefined) throw this.#error;
    this.channel.send(write(message));
  }

  /** The last word. Waits until the other side has closed the channel, or the line. */
  async sayLast(message: Message): Promise<void> {
    this.channel.sendLast(write(message));
    await this.until(() => this.#error !== undefined, SETTLE_MS);
  }

  /** The next message that is not about pings, within `ms`. @throws PeerlineError or Malformed */
  async heard(ms: number): Promise<Message> {
    await this.until(() => this.#heard.length > 0, ms);
    return this.#heard.shift() ?? { type: "unknown" };
  }

  /** Whether there is something to hear. */
  get has(): boolean {
    return this.#heard.length > 0;
  }

  /** Ends pinging, and waits for the answers that are due. */
  async settle(): Promise<void> {
    this.pings.stop();
    await this.until(() => this.pings.settled || this.has, SETTLE_MS);
    if (this.has) throw new Malformed("it spoke out of turn");
  }

  /** From now on pings are sent, until they are stopped. */
  ping(): void {
    this.pings.start(performance.now());
    this.#ping();
  }

  /** Waits until `is`, which is asked whenever something came or {@link wake} was called. @throws PeerlineError or Malformed */
  async until(is: () => boolean, ms: number): Promise<void> {
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      this.wake();
    }, ms);
    try {
      while (!is()) {
        if (this.#error !== undefined) throw this.#error;
        if (late) throw new PeerlineError("timeout", "The other side stopped taking part in the measurement.");
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearTimeout(limit);
    }
  }

  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  /** Nothing more is said or heard; the first reason counts. */
  end(error: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.over();
    this.pings.stop();
    clearTimeout(this.#timer);
    this.wake();
  }

  #receive(message: Message): void {
    switch (message.type) {
      case "ping":
        if (this.channel.buffered > MOST_UNHEARD) throw new Malformed("it asks and does not listen");
        return this.say({ type: "pong", id: message.id });
      case "pong":
        this.pings.pong(performance.now(), message.id);
        this.#ping();
        break;
      case "unknown":
        return;
      default:
        if (this.#heard.length === MOST_WAITING) throw new Malformed("it says too much");
        this.#heard.push(message);
    }
    this.wake();
  }

  #ping(): void {
    clearTimeout(this.#timer);
    const { due } = this.pings;
    if (due === undefined || this.#error !== undefined) return;
    this.#timer = setTimeout(() => {
      const id = this.pings.ping(performance.now());
      if (id !== undefined && this.channel.open) this.say({ type: "ping", id });
      this.#ping();
    }, Math.max(0, due - performance.now()));
  }
}
