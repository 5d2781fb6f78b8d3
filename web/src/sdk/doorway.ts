/**
 * Who is in the host's room without having shown a guess. A guest shows it as soon as it has joined (docs/protocol.md
 * 2.2); one that does not would hold the only place in the room, and keep the right guest out, for as long as it likes.
 */

/** A share follows `joined` at once; ten seconds is a phone on a bad network. */
const SHARE_LIMIT_MS = 10_000;

/** Counts the time of everybody who came and has said nothing yet. */
export class Doorway {
  readonly #silent = new Map<string, ReturnType<typeof setTimeout>>();

  /** `overdue` is called once for each peer that stayed and showed nothing. */
  constructor(private readonly overdue: () => void) {}

  /** Somebody is there and has its time from now on. */
  enter(peer: string): void {
    this.leave(peer);
    const timer = setTimeout(() => {
      this.#silent.delete(peer);
      this.overdue();
    }, SHARE_LIMIT_MS);
    this.#silent.set(peer, timer);
  }

  /** It went, or showed its guess. Returns whether it had been silent until then. */
  leave(peer: string): boolean {
    clearTimeout(this.#silent.get(peer));
    return this.#silent.delete(peer);
  }

  /** Nobody is watched any more. */
  clear(): void {
    for (const timer of this.#silent.values()) clearTimeout(timer);
    this.#silent.clear();
  }
}
