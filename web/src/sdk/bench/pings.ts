/** Round trips: when the next ping is due, and what the answers come to (docs/protocol.md section 8). Pure: times are milliseconds. */
import { Malformed } from "../json.js";
import type { Latency } from "./messages.js";

/** Between two pings. */
const EVERY_MS = 10;
/** Pings without an answer at a time. */
const UNANSWERED = 8;

/** Pings under way, and the round trips of those that were answered. */
export class Pings {
  #due: number | undefined;
  #next = 0;
  /** In the order of their answers, which is the channel's. */
  readonly #unanswered: { readonly id: number; readonly at: number }[] = [];
  #roundTrips: number[] = [];

  /** From now on pings are sent. */
  start(now: number): void {
    this.#due ??= now;
  }

  /** No more pings. */
  stop(): void {
    this.#due = undefined;
  }

  /** When to ask for the next one; undefined if there is nothing to send before something changes. */
  get due(): number | undefined {
    return this.#unanswered.length < UNANSWERED ? this.#due : undefined;
  }

  /** Whether every ping was answered, and no more are sent. */
  get settled(): boolean {
    return this.#due === undefined && this.#unanswered.length === 0;
  }

  /** The ping that is to be sent now, if one is. */
  ping(now: number): number | undefined {
    const { due } = this;
    if (due === undefined || due > now) return undefined;
    const id = this.#next++;
    this.#unanswered.push({ id, at: now });
    // After a pause, no burst.
    this.#due = Math.max(due + EVERY_MS, now);
    return id;
  }

  /** An answer came. @throws Malformed */
  pong(now: number, id: number): void {
    const first = this.#unanswered.shift();
    if (first?.id !== id) throw new Malformed("it answered a ping that nobody sent");
    this.#roundTrips.push(now - first.at);
  }

  /** What was measured since it was last asked, by the nearest rank. */
  latency(): Latency | undefined {
    const sorted = this.#roundTrips.sort((one, other) => one - other);
    this.#roundTrips = [];
    if (sorted.length === 0) return undefined;
    const percentile = (percent: number): number => {
      const rank = Math.max(1, Math.ceil((sorted.length * percent) / 100));
      return Math.max(0, Math.round((sorted[rank - 1] ?? 0) * 1000));
    };
    return { samples: sorted.length, p50: percentile(50), p90: percentile(90), p99: percentile(99) };
  }
}
