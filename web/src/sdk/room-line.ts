/** One connection of a room: to another member, or to the forwarder. */
import type { Kind } from "./call.js";
import type { Negotiating } from "./control.js";
import { Negotiation } from "./negotiation.js";
import { type Path, pathOf } from "./path.js";

/** What a connection needs of its room. */
export interface RoomLineOptions {
  /** Whether this side makes the first offer. */
  readonly calls: boolean;
  /** Whether the other side forwards: it then gets pictures in several sizes, and yields when both offer. */
  readonly forwards: boolean;
  readonly iceServers: readonly RTCIceServer[];
  readonly signal: (message: Negotiating) => void;
  /** A track of the other side, and the name of its stream. */
  readonly track: (track: MediaStreamTrack, stream: string) => void;
  readonly connected: () => void;
  /** The way it goes, once it is connected for the first time. */
  readonly path: (path: Path) => void;
  readonly failed: () => void;
}

/** For a forwarder, which gives each receiver what it can take. The largest is last. */
const LAYERS: readonly RTCRtpEncodingParameters[] = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", maxBitrate: 1_700_000 },
];

function fingerprint(sdp: string): string | undefined {
  return /^a=fingerprint:(.*?)\s*$/m.exec(sdp)?.[1]?.toLowerCase();
}

/** How long a call may take to be answered and connected. */
const CONNECT_MS = 30_000;

/** Connected for as long as both are in the room. */
export class RoomLine {
  readonly connection: RTCPeerConnection;
  readonly #negotiation: Negotiation;
  readonly #slots = new Map<Kind, RTCRtpTransceiver>();
  readonly #stream = new MediaStream();
  /** There is something to negotiate once it is connected. */
  #wanted = false;
  #works = false;
  readonly #limit: ReturnType<typeof setTimeout>;
  /** Tracks that wait until the other side has offered. */
  #waiting: Map<Kind, MediaStreamTrack> | undefined;

  constructor(private readonly options: RoomLineOptions) {
    const { calls, forwards, iceServers, signal, track, connected, failed } = options;
    const connection = new RTCPeerConnection({ iceServers: [...iceServers], bundlePolicy: "max-bundle" });
    this.connection = connection;
    this.#negotiation = new Negotiation(connection, { role: calls || forwards ? "guest" : "host", send: signal, failed });
    connection.ontrack = (event) => track(event.track, event.streams[0]?.id ?? "");
    // Whoever is called may have lost us in a way in which it does not answer.
    this.#limit = setTimeout(failed, CONNECT_MS);
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected") {
        clearTimeout(this.#limit);
        if (this.#wanted) this.#negotiation.offer();
        this.#wanted = false;
        const isNew = !this.#works;
        this.#works = true;
        connected();
        if (isNew) void this.#measure();
      }
      if (connection.connectionState === "failed") failed();
    };
    // A native side forgets who has which part in DTLS when it is asked again before that is done.
    connection.onnegotiationneeded = () => {
      if (connection.connectionState === "connected") this.#negotiation.offer();
      else this.#wanted = true;
    };
    if (!calls) {
      this.#waiting = new Map();
      return;
    }
    // What we do not send is received all the same.
    for (const kind of ["audio", "video"] as const) connection.addTransceiver(kind, { direction: "recvonly" });
    this.#negotiation.offer();
  }

  /** Whether the other side forwards. */
  get forwards(): boolean {
    return this.options.forwards;
  }

  /** Whether it was connected, and has not failed. */
  get works(): boolean {
    return this.#works;
  }

  /** Takes a description or candidate of the other side. */
  receive(message: Negotiating): void {
    this.#negotiation.receive(message);
    const waiting = this.#waiting;
    if (waiting === undefined || message.type !== "offer") return;
    this.#waiting = undefined;
    void this.#negotiation.settled().then(async () => {
      for (const [kind, track] of waiting) await this.send(kind, track);
    });
  }

  /** Whether a description can be of the other side of this connection, by the certificate in it. */
  isOf(sdp: string): boolean {
    const known = this.connection.remoteDescription?.sdp;
    return known === undefined || fingerprint(known) === fingerprint(sdp);
  }

  /** Sends a track in place of the one before; `undefined` stops. */
  async send(kind: Kind, track: MediaStreamTrack | undefined): Promise<void> {
    if (this.#waiting !== undefined) {
      if (track === undefined) this.#waiting.delete(kind);
      else this.#waiting.set(kind, track);
      return;
    }
    const slot = this.#slots.get(kind);
    if (slot !== undefined && track === undefined && this.#isLayered(kind)) {
      // Layers are told apart by their first packets only; a section that pauses could not be used again.
      slot.stop();
      this.#slots.delete(kind);
    } else if (slot !== undefined) {
      await slot.sender.replaceTrack(track ?? null);
      slot.direction = track === undefined ? "recvonly" : "sendrecv";
    } else if (track !== undefined) {
      this.#slots.set(kind, this.#add(kind, track));
    }
  }

  /** Hangs up. */
  close(): void {
    clearTimeout(this.#limit);
    this.#negotiation.stop();
    this.connection.close();
  }

  async #measure(): Promise<void> {
    const path = pathOf((await this.connection.getStats()) as unknown as ReadonlyMap<string, unknown>);
    if (path !== undefined) this.options.path(path);
  }

  #isLayered(kind: Kind): boolean {
    return this.options.forwards && kind === "video";
  }

  #add(kind: Kind, track: MediaStreamTrack): RTCRtpTransceiver {
    const init: RTCRtpTransceiverInit = { direction: "sendrecv", streams: [this.#stream] };
    if (this.#isLayered(kind)) init.sendEncodings = LAYERS.map((layer) => ({ ...layer }));
    return this.connection.addTransceiver(track, init);
  }
}
