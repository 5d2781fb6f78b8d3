/** One lane: a connection of its own with one channel, from its offer to its end. */

/** From the offer of a lane until it can be used. */
const SET_UP_MS = 15_000;
/** Of one lane; more is a flood. */
const MOST_CANDIDATES = 64;

/** The largest datagrams that this side sends, as UDP payload: SCTP packets of 1,191 bytes in 37 bytes of DTLS. */
export const PACKET = 1_228;

/** A lane of either side. */
export class Lane {
  readonly #connection: RTCPeerConnection;
  readonly #limit: ReturnType<typeof setTimeout>;
  /** Candidates that came before the description to which they belong; `undefined` since that is there. */
  #early: (RTCIceCandidateInit | null)[] | undefined = [];
  #candidates = 0;
  #over = false;
  #channel: RTCDataChannel | undefined;

  /** `say` is for the other side, `ended` is told once. */
  constructor(
    configuration: RTCConfiguration,
    private readonly say: (message: object) => void,
    private readonly ended: () => void,
  ) {
    const connection = new RTCPeerConnection(configuration);
    this.#connection = connection;
    this.#limit = setTimeout(() => this.#giveUp(), SET_UP_MS);
    connection.onicecandidate = ({ candidate }) => say({ type: "lane-candidate", candidate: candidate?.toJSON() ?? null });
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed") this.#giveUp();
    };
  }

  /** Offers it, with this channel on it. Closing the channel ends the lane once everything has left. */
  offer(label: string, protocol: string): RTCDataChannel {
    const channel = this.#connection.createDataChannel(label, { ordered: true, protocol });
    this.#channel = channel;
    channel.addEventListener("open", () => clearTimeout(this.#limit));
    channel.addEventListener("close", () => this.#giveUp());
    this.#describe((sdp) => this.say({ type: "lane-offer", packet: PACKET, sdp })).catch(() => this.#giveUp());
    return channel;
  }

  /** Answers an offer; `accepted` gets the channel. */
  accept(sdp: string, accepted: (channel: RTCDataChannel) => void): void {
    this.#connection.ondatachannel = ({ channel }) => {
      if (this.#channel !== undefined) return this.#giveUp();
      this.#channel = channel;
      clearTimeout(this.#limit);
      accepted(channel);
    };
    const answer = async (): Promise<void> => {
      await this.#apply({ type: "offer", sdp });
      await this.#describe((answered) => this.say({ type: "lane-answer", sdp: answered }));
    };
    answer().catch(() => this.#giveUp());
  }

  /** The other side has answered our offer. */
  answered(sdp: string): void {
    this.#apply({ type: "answer", sdp }).catch(() => this.#giveUp());
  }

  /** One that the browser refuses was of no use. */
  candidate(candidate: RTCIceCandidateInit | null): void {
    if (++this.#candidates > MOST_CANDIDATES) return;
    if (this.#early !== undefined) this.#early.push(candidate);
    else this.#connection.addIceCandidate(candidate ?? undefined).catch(() => undefined);
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

  async #apply(description: RTCSessionDescriptionInit): Promise<void> {
    await this.#connection.setRemoteDescription(description);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const candidate of early) this.#connection.addIceCandidate(candidate ?? undefined).catch(() => undefined);
  }

  async #describe(tell: (sdp: string) => void): Promise<void> {
    await this.#connection.setLocalDescription();
    const sdp = this.#connection.localDescription?.sdp;
    if (sdp !== undefined && !this.#over) tell(sdp);
  }

  #giveUp(): void {
    if (this.#over) return;
    this.say({ type: "lane-close" });
    this.end();
  }
}
