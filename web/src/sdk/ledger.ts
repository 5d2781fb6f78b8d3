/** What was sent and may be lost, what came and must not come twice: docs/protocol.md 1.5. */
import type { ClientMessage } from "./wire.js";

/** Messages that are kept for sending them again; the server acknowledges every sixteenth. */
const MOST_KEPT = 256;
/** What is due for an acknowledgement at once. */
const MOST_OWED = 16;

/** What to do with a message that came. */
export type Arrival = "new" | "again" | "gap";

/** Both directions of a membership that survives its connections. */
export class Ledger {
  #next = 1;
  #kept: { readonly seq: number; readonly text: string }[] = [];
  #got = 0;
  #owed = 0;

  /** The number of the last message that came. */
  get got(): number {
    return this.#got;
  }

  /** Whether more waits than this side is willing to keep. */
  get full(): boolean {
    return this.#kept.length >= MOST_KEPT;
  }

  /** Numbers and keeps `message`; returns its text. */
  number(message: ClientMessage): string {
    const seq = this.#next++;
    const text = JSON.stringify({ seq, ...message });
    this.#kept.push({ seq, text });
    return text;
  }

  /** The server has everything up to `seq`; false if that was never sent. */
  acknowledged(seq: number): boolean {
    this.#kept = this.#kept.filter((kept) => kept.seq > seq);
    return seq < this.#next;
  }

  /** What the server may not have. */
  unacknowledged(): string[] {
    return this.#kept.map(({ text }) => text);
  }

  /** Takes note of a message with number `seq`, or without one. */
  arrived(seq: number | undefined): Arrival {
    if (seq === undefined) return "new";
    if (seq <= this.#got) return "again";
    if (seq > this.#got + 1) return "gap";
    this.#got = seq;
    this.#owed++;
    return "new";
  }

  /** Whether anything waits for an acknowledgement, and whether that is urgent. */
  get owes(): "nothing" | "some" | "much" {
    if (this.#owed === 0) return "nothing";
    return this.#owed < MOST_OWED ? "some" : "much";
  }

  /** Everything that came was acknowledged; returns its number. */
  settle(): number {
    this.#owed = 0;
    return this.#got;
  }
}
