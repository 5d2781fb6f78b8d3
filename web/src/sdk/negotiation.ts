/**
 * Offers, answers and candidates of one connection, one step at a time: perfect negotiation with fixed roles, candidates
 * kept until their description is there, and a certificate that may never change (docs/protocol.md 3.1, 3.3).
 */
import type { Engine, Negotiating } from "./control.js";
import { PeerlineError, asFailure } from "./errors.js";
import { Malformed } from "./json.js";
import type { Role } from "./keys.js";
import { fingerprintOf } from "./sdp.js";

/** What a negotiation needs of its session. */
export interface NegotiationOptions {
  readonly role: Role;
  /** Gives a description or candidate to the other side. */
  readonly send: (message: Negotiating) => void;
  readonly failed: (error: PeerlineError) => void;
}

/** Protocol section 6. */
const MOST_CANDIDATES = 64;

/** Negotiates for one connection. */
export class Negotiation {
  /** What the other side is made of, once it said so. */
  engine: Engine = "browser";
  #queue: Promise<void> = Promise.resolve();
  #early: (RTCIceCandidateInit | null)[] = [];
  #candidates = 0;
  #makingOffer = false;
  /** The numbers of the newest offers, ours and theirs. */
  #made = 0;
  #seen = 0;
  #pinned: string | undefined;
  #stopped = false;

  constructor(
    private readonly connection: RTCPeerConnection,
    private readonly options: NegotiationOptions,
  ) {
    connection.onicecandidate = ({ candidate }) => options.send({ type: "ice-candidate", candidate: candidate?.toJSON() ?? null });
  }

  /** A native peer is the polite one; among browsers it is the side that did not make the first offer. */
  get polite(): boolean {
    return this.engine === "browser" && this.options.role === "host";
  }

  /** Makes an offer, unless one is under way. */
  offer(options: RTCOfferOptions = {}): void {
    this.#enqueue(() => this.#offer(options));
  }

  /** Our offer or its answer was lost on its way: makes it anew. */
  forgotten(options: RTCOfferOptions = { iceRestart: true }): void {
    this.#enqueue(async () => {
      if (!this.awaitsAnswer) return;
      await this.connection.setLocalDescription({ type: "rollback" });
      await this.#offer(options);
    });
  }

  /** Whether an offer of ours is not answered yet. */
  get awaitsAnswer(): boolean {
    return this.connection.signalingState === "have-local-offer";
  }

  /** Resolves when that changes. */
  answered(): Promise<void> {
    if (!this.awaitsAnswer || this.#stopped) return Promise.resolve();
    return new Promise((resolve) => this.connection.addEventListener("signalingstatechange", () => resolve(), { once: true }));
  }

  /** Takes a description or candidate of the other side. */
  receive(message: Negotiating): void {
    this.#enqueue(() => this.#take(message));
  }

  /**
   * Resolves when every step so far is done. A channel may open before the browser has told us that a description
   * was set, so whoever needs both descriptions waits for this.
   */
  settled(): Promise<void> {
    return this.#queue;
  }

  /** Does nothing any more. */
  stop(): void {
    this.#stopped = true;
  }

  async #offer(options: RTCOfferOptions): Promise<void> {
    const { connection } = this;
    if (connection.signalingState !== "stable") return;
    this.#makingOffer = true;
    try {
      await connection.setLocalDescription(await connection.createOffer(options));
    } finally {
      this.#makingOffer = false;
    }
    this.#describe("offer", ++this.#made);
  }

  async #take(message: Negotiating): Promise<void> {
    const { connection } = this;
    if (message.type === "ice-candidate") return this.#addCandidate(message.candidate);
    if (this.#isStale(message)) return;
    if (message.type === "answer" && connection.signalingState !== "have-local-offer") return;
    const collision = message.type === "offer" && (this.#makingOffer || connection.signalingState !== "stable");
    if (collision && !this.polite) return;
    this.#pin(message.sdp);
    this.#candidates = 0;
    await connection.setRemoteDescription({ type: message.type, sdp: message.sdp });
    const early = this.#early;
    this.#early = [];
    for (const candidate of early) await this.#addCandidate(candidate);
    if (message.type === "answer") return;
    await connection.setLocalDescription();
    this.#describe("answer", message.id);
  }

  /** Whether it belongs to an offer that was given up: a path that was lost brings when it is back what it held. */
  #isStale({ type, id }: Exclude<Negotiating, { type: "ice-candidate" }>): boolean {
    if (id === undefined) return false;
    if (type === "answer") return id !== this.#made;
    if (id <= this.#seen) return true;
    this.#seen = id;
    return false;
  }

  /** Neither the server nor a later offer may bring another certificate. */
  #pin(sdp: string): void {
    const fingerprint = fingerprintOf(sdp).join();
    this.#pinned ??= fingerprint;
    if (this.#pinned !== fingerprint) throw new PeerlineError("tampered", "The other side's certificate changed.");
  }

  async #addCandidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    if (++this.#candidates > MOST_CANDIDATES) return;
    if (this.connection.remoteDescription === null) return void this.#early.push(candidate);
    try {
      await this.connection.addIceCandidate(candidate ?? undefined);
    } catch {
      // Of an ignored offer, an older description, or of a kind this browser does not know: the others decide.
    }
  }

  #describe(type: "offer" | "answer", id: number | undefined): void {
    const sdp = this.connection.localDescription?.sdp;
    if (sdp !== undefined) this.options.send({ type, ...(id === undefined ? {} : { id }), sdp });
  }

  #enqueue(step: () => Promise<void>): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#stopped) return;
      try {
        await step();
      } catch (error) {
        // A step that was under way when the connection was closed fails because of that.
        if (!this.#stopped) this.options.failed(error instanceof Malformed ? new PeerlineError("protocol", error.message) : asFailure(error, "protocol"));
      }
    });
  }
}
