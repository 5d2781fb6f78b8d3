/**
 * The forwarders of an open room (docs/protocol.md 3.7). There should be one; one that died is away until the server gives
 * its place away, and another one may have followed it by then. Knows what the server says, and no connections.
 */
import type { Peer } from "./wire.js";

/** What a member calls itself that forwards everybody's tracks to everybody else. */
const FORWARDER = "peerline-forwarder";

/** Whether a member says that it forwards. */
export function isForwarder({ name, plain }: Peer): boolean {
  return name === FORWARDER && plain !== true;
}

/** Those that are in the room. */
export class Forwarders {
  /** In the order in which they came. */
  readonly #known = new Map<string, "here" | "away">();

  /** One is there. */
  came({ id, away }: Peer): void {
    this.#known.set(id, away === true ? "away" : "here");
  }

  /** Whether it was one that left. */
  left(id: string): boolean {
    return this.#known.delete(id);
  }

  /** Whether it is one whose connection to the server broke. */
  went(id: string): boolean {
    return this.#becomes(id, "away");
  }

  /** Whether it is one that is back. */
  back(id: string): boolean {
    return this.#becomes(id, "here");
  }

  has(id: string): boolean {
    return this.#known.has(id);
  }

  clear(): void {
    this.#known.clear();
  }

  /** Whether the server can reach one of them. */
  get isHere(): boolean {
    return this.chosen(() => false) !== undefined;
  }

  /**
   * Through whom everything goes: the newest one that is here. One that is away may have died, and counts as long as our
   * line to it `works`.
   */
  chosen(works: (id: string) => boolean): string | undefined {
    return [...this.#known].reverse().find(([id, state]) => state === "here" || works(id))?.[0];
  }

  #becomes(id: string, state: "here" | "away"): boolean {
    if (!this.#known.has(id)) return false;
    // Its place among the others stays the same.
    this.#known.set(id, state);
    return true;
  }
}
