/** What runs over a line and ends with it, at the latest: transfers, pipes and measurements. */
import { Bench } from "./bench/bench.js";
import type { Side } from "./bench/messages.js";
import type { Channel } from "./channel.js";
import type { PeerlineError } from "./errors.js";
import { Inbox, type IncomingTransfer } from "./files/inbox.js";
import { OutgoingTransfer, type SendOptions } from "./files/outgoing.js";
import type { SourceEntry } from "./files/source.js";
import type { Role } from "./keys.js";
import { Pipe } from "./pipe/pipe.js";
import type { Session } from "./session.js";

/** One of them, as far as its end matters. */
interface Ending {
  end(failure: PeerlineError): void;
  on(end: "done" | "failed", listener: () => void): () => void;
}

/** Those that are not over. */
export class Work {
  readonly #running = new Set<Ending>();
  readonly #inbox: Inbox;
  readonly #benches = new Set<Bench>();

  /** `offered` gets what the other side wants to send. */
  constructor(offered: (transfer: IncomingTransfer) => void) {
    this.#inbox = new Inbox((transfer) => offered(this.#track(transfer)));
  }

  /** Whether there are any. */
  get any(): boolean {
    return this.#running.size > 0;
  }

  /** Takes a channel of the other side's if it belongs to one of them, or begins one. */
  take(channel: Channel): boolean {
    return this.#inbox.take(channel) || [...this.#benches].some((bench) => bench.take(channel));
  }

  /** @throws PeerlineError if that is too much */
  send(session: Session, entries: readonly SourceEntry[], options: SendOptions): OutgoingTransfer {
    return this.#track(OutgoingTransfer.start(session, entries, options));
  }

  pipe(channel: Channel, role: Role): Pipe {
    return this.#track(new Pipe(channel, role));
  }

  measure(session: Session, channel: Channel, side: Side): Bench {
    const bench = this.#track(Bench.start(session, channel, side));
    this.#benches.add(bench);
    for (const end of ["done", "failed"] as const) bench.on(end, () => void this.#benches.delete(bench));
    return bench;
  }

  /** The line is over. */
  end(failure: PeerlineError): void {
    for (const ending of [...this.#running]) ending.end(failure);
  }

  #track<One extends Ending>(one: One): One {
    this.#running.add(one);
    for (const end of ["done", "failed"] as const) one.on(end, () => void this.#running.delete(one));
    return one;
  }
}
