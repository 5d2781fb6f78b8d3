/** What runs over a line and ends with it, at the latest. */
import type { PeerlineError } from "./errors.js";

/** A transfer of either direction, or a pipe, as far as its end matters. */
export interface Ending {
  end(failure: PeerlineError): void;
  on(end: "done" | "failed", listener: () => void): () => void;
}

/** Those that are not over. */
export class Endings {
  readonly #running = new Set<Ending>();

  /** Whether there are any. */
  get any(): boolean {
    return this.#running.size > 0;
  }

  /** This one has begun. */
  track(ending: Ending): void {
    this.#running.add(ending);
    for (const end of ["done", "failed"] as const) ending.on(end, () => void this.#running.delete(ending));
  }

  /** The line is over. */
  end(failure: PeerlineError): void {
    for (const ending of [...this.#running]) ending.end(failure);
  }
}
