/**
 * Connections of their own for bulk, which either side opens (docs/protocol.md 3.4). They are negotiated on `control`,
 * which is verified; the browser compares the certificate of each with its description.
 */
import type { LaneMessage } from "./control.js";
import { PeerlineError } from "./errors.js";
import { Malformed } from "./json.js";
import { Lane } from "./lane.js";

/** As many may be open at a time, of those of each side: what is on its way on each takes memory of this page. */
export const MOST_LANES = 4;

/** What lanes need of their session. */
export interface LanesOptions {
  readonly configuration: RTCConfiguration;
  /** Whether our numbers are even: this side made the session's first offer. */
  readonly even: boolean;
  /** Says something on `control`. */
  readonly say: (message: object) => void;
  /** Gets the channel of a lane that the other side opened. */
  readonly accepted: (channel: RTCDataChannel) => void;
}

/** The lanes of one session. */
export class Lanes {
  readonly #open = new Map<number, Lane>();
  #next: number;
  #ended = false;

  constructor(private readonly options: LanesOptions) {
    this.#next = options.even ? 0 : 1;
  }

  /** Opens a lane with this channel on it, of which the other side takes `most` at a time. @throws PeerlineError */
  open(label: string, protocol: string, most: number): RTCDataChannel {
    if (this.#ended) throw new PeerlineError("peer-gone", "There is no connection.");
    if (this.#count(true) >= Math.min(most, MOST_LANES)) throw new PeerlineError("unsupported", "No more connections can be opened to the other side.");
    const number = this.#next;
    this.#next += 2;
    const lane = this.#lane(number);
    return lane.offer(label, protocol);
  }

  /** Takes what the other side says of a lane. @throws Malformed */
  receive(message: LaneMessage): void {
    const { lane: number } = message;
    switch (message.type) {
      case "lane-offer":
        return this.#offered(number, message.sdp);
      case "lane-answer":
        return this.#open.get(number)?.answered(message.sdp);
      // A lane that has just ended may still get candidates.
      case "lane-candidate":
        return this.#open.get(number)?.candidate(message.candidate);
      case "lane-close":
        return this.#open.get(number)?.end();
    }
  }

  /** Ends all of them. */
  end(): void {
    this.#ended = true;
    for (const lane of this.#open.values()) lane.end();
  }

  #offered(number: number, sdp: string): void {
    const { say, accepted } = this.options;
    if (this.#isOurs(number) || this.#open.has(number)) throw new Malformed("it used the number of another lane");
    if (this.#count(false) >= MOST_LANES) return say({ type: "lane-close", lane: number });
    try {
      this.#lane(number).accept(sdp, accepted);
    } catch {
      // This browser has no connection left, which is the lane's misfortune only.
      say({ type: "lane-close", lane: number });
    }
  }

  #lane(number: number): Lane {
    const { configuration, say } = this.options;
    const lane = new Lane(configuration, (message) => say({ ...message, lane: number }), () => this.#open.delete(number));
    this.#open.set(number, lane);
    return lane;
  }

  #count(ours: boolean): number {
    return [...this.#open.keys()].filter((number) => this.#isOurs(number) === ours).length;
  }

  #isOurs(number: number): boolean {
    return (number % 2 === 0) === this.options.even;
  }
}
