/**
 * Connections of their own for bulk, which the other side opens (docs/protocol.md 3.4). They are negotiated on `control`,
 * which is verified; the browser compares the certificate of each with its description.
 */
import type { LaneMessage } from "./control.js";
import { Malformed } from "./json.js";

/** As many may be open at a time: what is on its way on each takes memory of this page. */
export const MOST_LANES = 4;

/** From the offer of a lane until it can be used. */
const SET_UP_MS = 15_000;
/** Of one lane; more is a flood. */
const MOST_CANDIDATES = 64;

/** What lanes need of their session. */
export interface LanesOptions {
  readonly configuration: RTCConfiguration;
  /** Whether the numbers of the other side are even: it made the session's first offer. */
  readonly even: boolean;
  /** Says something on `control`. */
  readonly say: (message: object) => void;
  /** Gets the channel of a lane. */
  readonly accepted: (channel: RTCDataChannel) => void;
}

/** The lanes of one session. */
export class Lanes {
  readonly #open = new Map<number, Lane>();

  constructor(private readonly options: LanesOptions) {}

  /** Takes what the other side says of a lane. @throws Malformed */
  receive(message: LaneMessage): void {
    const { lane: number } = message;
    switch (message.type) {
      case "lane-offer":
        return this.#offered(number, message.sdp);
      // A lane that has just ended may still get candidates.
      case "lane-candidate":
        return this.#open.get(number)?.candidate(message.candidate);
      case "lane-close":
        return this.#open.get(number)?.end();
    }
  }

  /** Ends all of them. */
  end(): void {
    for (const lane of this.#open.values()) lane.end();
  }

  #offered(number: number, sdp: string): void {
    const { even, say } = this.options;
    if ((number % 2 === 0) !== even || this.#open.has(number)) throw new Malformed("it used the number of another lane");
    if (this.#open.size === MOST_LANES) return say({ type: "lane-close", lane: number });
    try {
      this.#open.set(number, new Lane(number, sdp, this.options, () => this.#open.delete(number)));
    } catch {
      // This browser has no connection left, which is the lane's misfortune only.
      say({ type: "lane-close", lane: number });
    }
  }
}

/** One lane, from its offer to its end. */
class Lane {
  readonly #connection: RTCPeerConnection;
  readonly #limit: ReturnType<typeof setTimeout>;
  #candidates = 0;
  #over = false;
  #channel: RTCDataChannel | undefined;

  constructor(
    private readonly number: number,
    sdp: string,
    private readonly options: LanesOptions,
    private readonly ended: () => void,
  ) {
    const connection = new RTCPeerConnection(options.configuration);
    this.#connection = connection;
    this.#limit = setTimeout(() => this.#giveUp(), SET_UP_MS);
    connection.onicecandidate = ({ candidate }) => this.#say({ type: "lane-candidate", candidate: candidate?.toJSON() ?? null });
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected") clearTimeout(this.#limit);
      if (connection.connectionState === "failed") this.#giveUp();
    };
    connection.ondatachannel = ({ channel }) => {
      if (this.#channel !== undefined) return this.#giveUp();
      this.#channel = channel;
      options.accepted(channel);
    };
    this.#answer(sdp).catch(() => this.#giveUp());
  }

  /** The browser keeps it until it has applied the offer. One that it refuses was of no use. */
  candidate(candidate: RTCIceCandidateInit | null): void {
    if (++this.#candidates > MOST_CANDIDATES) return;
    this.#connection.addIceCandidate(candidate ?? undefined).catch(() => undefined);
  }

  /** The other side has closed it, or the session ends. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#limit);
    this.#connection.onicecandidate = null;
    this.#connection.onconnectionstatechange = null;
    this.#connection.close();
    this.ended();
    // Not every browser tells a channel that its connection was closed.
    this.#channel?.dispatchEvent(new Event("close"));
  }

  async #answer(sdp: string): Promise<void> {
    await this.#connection.setRemoteDescription({ type: "offer", sdp });
    await this.#connection.setLocalDescription();
    const answer = this.#connection.localDescription?.sdp;
    if (answer !== undefined && !this.#over) this.#say({ type: "lane-answer", sdp: answer });
  }

  #giveUp(): void {
    if (this.#over) return;
    this.#say({ type: "lane-close" });
    this.end();
  }

  #say(message: object): void {
    this.options.say({ ...message, lane: this.number });
  }
}
