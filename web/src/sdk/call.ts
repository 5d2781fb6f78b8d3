/**
 * Sound and pictures of a line: one of each in either direction, added and taken back at any time by either side. The
 * connection renegotiates by itself (docs/protocol.md 3.3).
 */
import { Events } from "./events.js";

/** What a track carries. */
export type Kind = "audio" | "video";

/** Events of a {@link Call}. */
export interface CallEvents {
  /** The other side began to send this kind, or stopped; {@link Call.remote} has changed. */
  remote: Kind;
  /** This side began to send this kind, or stopped. */
  local: Kind;
}

/** How pictures travel now, as far as the browser says. */
export interface Quality {
  readonly width: number;
  readonly height: number;
  /** Pictures a second. */
  readonly rate: number;
  /** Part of the packets that never came, 0 to 1, since the last time. */
  readonly lost: number;
}

/** The tracks of a line. */
export class Call extends Events<CallEvents> {
  /** What the other side sends: hand it to a video element once. */
  readonly remote = new MediaStream();
  readonly #local = new MediaStream();
  readonly #slots = new Map<Kind, RTCRtpTransceiver>();
  #counted = { packets: 0, lost: 0 };

  constructor(private readonly connection: RTCPeerConnection) {
    super();
    connection.addEventListener("track", ({ track }) => this.#arrived(track));
  }

  /** The track of ours that is sent, if any. */
  sending(kind: Kind): MediaStreamTrack | undefined {
    return this.#local.getTracks().find((track) => track.kind === kind);
  }

  /**
   * Sends this track from now on, in place of the one before; `undefined` stops. A track of another device, or the
   * screen, takes over without a negotiation. The tracks stay yours: nothing here stops a camera.
   */
  async send(kind: Kind, track: MediaStreamTrack | undefined): Promise<void> {
    const before = this.sending(kind);
    if (before !== undefined) this.#local.removeTrack(before);
    if (track !== undefined) this.#local.addTrack(track);
    const slot = this.#slots.get(kind);
    if (slot === undefined) {
      if (track !== undefined) this.#add(kind, track);
    } else {
      await slot.sender.replaceTrack(track ?? null);
      // Always ready to receive: a section that both sides leave idle cannot be used again everywhere.
      slot.direction = track === undefined ? "recvonly" : "sendrecv";
    }
    this.emit("local", kind);
  }

  /** How the other side's pictures arrive; `undefined` while there are none. */
  async quality(): Promise<Quality | undefined> {
    const report = (await this.connection.getStats()) as unknown as ReadonlyMap<string, Readonly<Record<string, unknown>>>;
    const number = (value: unknown): number => (typeof value === "number" ? value : 0);
    for (const entry of report.values()) {
      if (entry["type"] !== "inbound-rtp" || entry["kind"] !== "video" || number(entry["frameWidth"]) === 0) continue;
      const [packets, lost] = [number(entry["packetsReceived"]), number(entry["packetsLost"])];
      const [got, missed] = [packets - this.#counted.packets, Math.max(0, lost - this.#counted.lost)];
      this.#counted = { packets, lost };
      const part = got + missed > 0 ? missed / (got + missed) : 0;
      return { width: number(entry["frameWidth"]), height: number(entry["frameHeight"]), rate: number(entry["framesPerSecond"]), lost: part };
    }
    return undefined;
  }

  #add(kind: Kind, track: MediaStreamTrack): void {
    // Uses the section in which the other side sends, if there is one.
    const sender = this.connection.addTrack(track, this.#local);
    const slot = this.connection.getTransceivers().find((transceiver) => transceiver.sender === sender);
    if (slot !== undefined) this.#slots.set(kind, slot);
  }

  /** A track is muted while nothing of it arrives, which the other side's taking it back does. */
  #arrived(track: MediaStreamTrack): void {
    const kind: Kind = track.kind === "audio" ? "audio" : "video";
    const shown = (): boolean => this.remote.getTracks().includes(track);
    const show = (): void => {
      if (shown()) return;
      // The newest one of a kind is the one that counts.
      for (const other of this.remote.getTracks()) if (other.kind === kind) this.remote.removeTrack(other);
      this.remote.addTrack(track);
      this.emit("remote", kind);
    };
    const hide = (): void => {
      if (!shown()) return;
      this.remote.removeTrack(track);
      this.emit("remote", kind);
    };
    track.addEventListener("unmute", show);
    track.addEventListener("mute", hide);
    track.addEventListener("ended", hide);
    if (!track.muted) show();
  }
}
