/** A line: from a code to a verified connection. This is what a page uses; it ties signaling, pairing and session together. */
import { pageUrl, socketUrl } from "./address.js";
import { fromBase64Url, toBase64Url, utf8 } from "./bytes.js";
import { type Bench, LABEL as BENCH_LABEL, PROTOCOL as BENCH_PROTOCOL } from "./bench/bench.js";
import { Call } from "./call.js";
import type { Channel } from "./channel.js";
import { type Code, drawWords, formatCode, linkOf, parseCode } from "./code.js";
import { type Hello, type SealedMessage, parseSealedMessage } from "./control.js";
import { Doorway } from "./doorway.js";
import { Events } from "./events.js";
import { PeerlineError, asFailure } from "./errors.js";
import type { OutgoingTransfer, SendOptions } from "./files/outgoing.js";
import type { SourceEntry } from "./files/source.js";
import type { Keys, Role } from "./keys.js";
import type { LineEvents, LineOptions, LineState } from "./line-events.js";
import { roomGone, roomLost, stopped } from "./line-failures.js";
import { type AbortReason, GuestPairing, HostPairing, type PairingAction, abortRecord, isShare } from "./pairing.js";
import type { Path } from "./path.js";
import { LABEL as PIPE_LABEL, PROTOCOL as PIPE_PROTOCOL, type Pipe } from "./pipe/pipe.js";
import { Session } from "./session.js";
import { type Joined, Signaling } from "./signaling.js";
import type { Join, ServerMessage } from "./wire.js";
import { Work } from "./work.js";

declare const PEERLINE_VERSION: string;

/** From `joined` or the guest's share to agreed keys: protocol section 6. */
const PAIRING_LIMIT_MS = 30_000;
/** A room that somebody does not leave is asked for again after 1 s, 2 s, 4 s and so on, for at most this long. */
const RETAKE_LIMIT_MS = 30_000;
const FIRST_RETAKE_MS = 1_000;
/** One to make the code, one to be given it. */
const PLACES = 2;

/**
 * An end-to-end encrypted line to one other device.
 *
 * ```js
 * const line = Line.host({ intent: "send-files" });
 * line.on("code", ({ link }) => console.log(link));
 * line.on("connected", () => line.sendFiles(input.files));
 * ```
 */
export class Line extends Events<LineEvents> {
  #state: LineState = "joining";
  #code: Code | undefined;
  #pairing: GuestPairing | HostPairing | undefined;
  #signaling: Signaling | undefined;
  #iceServers: readonly RTCIceServer[] | undefined;
  #session: Session | undefined;
  #call: Call | undefined;
  readonly #work = new Work((transfer) => this.emit("transfer", transfer));
  readonly #doorway = new Doorway(() => this.#turnAway());
  #partner: string | undefined;
  /** Whether the partner has yet to show that it is the other side, having come into the room anew. */
  #unproven = false;
  #away = false;
  #askedAt = 0;
  #keys: Keys | undefined;
  #phrase: string | undefined;
  #path: Path | undefined;
  #limit: ReturnType<typeof setTimeout> | undefined;
  readonly #abort = new AbortController();

  private constructor(
    /** `host` made the code, `guest` was given it. */
    readonly role: Role,
    private readonly options: LineOptions,
  ) {
    super();
  }

  /** Makes a code and waits for the other side. Listen to `code`, `connected` and `closed`. */
  static host(options: LineOptions = {}): Line {
    const line = new Line("host", options);
    line.#start({ create: true, capacity: PLACES });
    return line;
  }

  /**
   * Uses a code or link. Listen to `connected` and `closed`.
   * @throws PeerlineError `bad-code` if it cannot be one
   */
  static join(codeOrLink: string, options: LineOptions = {}): Line {
    const code = parseCode(codeOrLink);
    const line = new Line("guest", options);
    line.#code = code;
    line.#start({ room: code.room, create: false });
    return line;
  }

  /** Where the line stands. */
  get state(): LineState {
    return this.#state;
  }

  /** Six words that both sides see, once paired. */
  get phrase(): string | undefined {
    return this.#phrase;
  }

  /** Which way the bytes go, once known. */
  get path(): Path | undefined {
    return this.#path;
  }

  /** What the other side said of itself, once connected. */
  get peer(): Hello | undefined {
    return this.#session?.peer;
  }

  /** Sound and pictures of both sides, once connected. */
  get call(): Call | undefined {
    return this.#call;
  }

  /** The peer connection, for tracks of your own; it renegotiates by itself. */
  get connection(): RTCPeerConnection | undefined {
    return this.#session?.connection;
  }

  /**
   * Offers files and folders to the other side.
   * @throws PeerlineError `nothing-to-send` without entries, `peer-gone` if there is no connection
   */
  send(entries: readonly SourceEntry[], options: SendOptions = {}): OutgoingTransfer {
    // Before the connection is asked for: it is the caller's mistake, with or without one.
    if (entries.length === 0) throw new PeerlineError("nothing-to-send", "There is nothing to send.");
    return this.#work.send(this.#connected(), entries, options);
  }

  /** Opens a channel of your own protocol. @throws PeerlineError if there is no connection */
  open(label: string, init: RTCDataChannelInit = {}): Channel {
    return this.#connected().open(label, init);
  }

  /**
   * Connects a pipe, which the other side must have come for, too. A guest opens its channel; a host gives the `channel` of
   * protocol {@link PIPE_PROTOCOL} that came. @throws PeerlineError if there is no connection
   */
  pipe(channel: Channel = this.open(PIPE_LABEL, { protocol: PIPE_PROTOCOL })): Pipe {
    return this.#work.pipe(channel, this.role);
  }

  /**
   * Measures the line, for which the other side must have come, too. A guest decides what is measured; a host gives the `channel`
   * of protocol {@link BENCH_PROTOCOL} that came. @throws PeerlineError if there is no connection
   */
  measure(channel: Channel = this.open(BENCH_LABEL, { protocol: BENCH_PROTOCOL })): Bench {
    return this.#work.measure(this.#connected(), channel, this.role === "guest" ? "leader" : "follower");
  }

  /** Says goodbye and ends the line. What runs over it and is not over is cancelled, and the other side is told so. */
  close(): void {
    if (this.#state === "closed") return;
    this.#abort.abort();
    const broken = this.#work.any;
    this.#work.end(new PeerlineError("cancelled", "You cancelled this transfer."));
    // One word, on the control channel: a closed lane that overtook it would look like a broken line.
    if (this.#session !== undefined) return this.#session.close(broken ? "cancelled" : "done", "closed");
    // The other side, if there is one, is told; that it was us who stopped is no failure.
    const last = this.#pairing?.stop("cancelled") ?? [];
    this.#run(last.filter((action) => action.do === "send"));
    this.#end(undefined);
  }

  #start(join: Omit<Join, "type">): void {
    // The caller gets to listen before the first event.
    queueMicrotask(() => {
      this.#enter(join).then(
        (signaling) => this.#joined(signaling),
        (error: unknown) => this.#end(asFailure(error, "server-unreachable")),
      );
    });
  }

  #enter(join: Omit<Join, "type">): Promise<Signaling> {
    const { token, server } = this.options;
    const url = socketUrl(server ?? new URL(".", import.meta.url));
    return Signaling.join(url, token === undefined ? join : { ...join, token }, this.#abort.signal);
  }

  #joined(signaling: Signaling): void {
    if (!this.#adopt(signaling)) return;
    if (this.role === "host") this.#wait(signaling.joined);
    else this.#guess(signaling.joined);
  }

  /** Listens to `signaling`, unless the line has ended meanwhile. */
  #adopt(signaling: Signaling): boolean {
    if (this.#state === "closed") {
      signaling.leave();
      return false;
    }
    this.#signaling = signaling;
    signaling.on("message", (message) => this.#receive(message));
    signaling.on("closed", (error) => {
      // Once there is a session the line lives on without the server.
      if (this.#session === undefined) this.#end(this.#withoutServer(error));
      // Nobody could say any more that the other side is back.
      else if (this.#session.peer === undefined) this.#session.partnerBack();
    });
    return true;
  }

  /** A host that has shown its code must hear that the code went with the server. */
  #withoutServer(error: PeerlineError): PeerlineError {
    if (error.code !== "server-unreachable" || this.role === "guest" || this.#code === undefined) return error;
    return roomGone(error);
  }

  #wait({ room }: Joined): void {
    const code: Code = { room, words: drawWords() };
    this.#code = code;
    this.#pairing = new HostPairing(code);
    this.#become("waiting");
    this.emit("code", { code: formatCode(code), link: linkOf(pageUrl(this.options.server ?? new URL(".", import.meta.url)), code) });
  }

  #guess({ peers }: Joined): void {
    const host = peers[0];
    if (host === undefined || this.#code === undefined) {
      return this.#end(new PeerlineError("no-such-room", "Nobody is waiting with this code."));
    }
    this.#partner = host.id;
    this.#startPairing(() => this.#end(new PeerlineError("timeout", "The other side did not answer.")));
    const pairing = new GuestPairing(this.#code);
    this.#pairing = pairing;
    this.#run(pairing.start());
  }

  #startPairing(late: () => void): void {
    this.#become("pairing");
    clearTimeout(this.#limit);
    this.#limit = setTimeout(late, PAIRING_LIMIT_MS);
  }

  #receive(message: ServerMessage): void {
    if (message.type === "sealed") return this.#receiveSealed(message.from, message.data);
    // Credentials expire while a host waits; with each guest come fresh ones.
    if (message.type === "peer-joined" && message.iceServers !== undefined) this.#iceServers = message.iceServers;
    if (message.type === "peer-joined" && this.#state === "waiting") return this.#visited(message.peer.id);
    if (message.type === "peer-left" && this.#doorway.leave(message.peer)) this.emit("visitor", "left");
    if (this.#session !== undefined) return this.#follow(this.#session, message);
    if (message.type === "peer-left" && message.peer === this.#partner) this.#partnerLeft();
  }

  /** Where the other side of a line is; of an established one also who has come back into the room. */
  #follow(session: Session, message: ServerMessage): void {
    switch (message.type) {
      case "peer-left":
        if (message.peer !== this.#partner) return;
        if (session.peer === undefined) return this.#partnerLeft();
        this.#partner = undefined;
        // That a stranger left means nothing.
        return this.#unproven ? undefined : session.partnerLeft(message.reason !== "lost");
      case "peer-away":
        if (message.peer !== this.#partner) return;
        this.#away = true;
        return session.partnerLeft(false);
      case "peer-back":
        if (message.peer !== this.#partner) return;
        this.#away = false;
        return session.partnerBack();
      // The server had forgotten us.
      case "joined":
        if (session.peer === undefined) return;
        this.#partner = undefined;
        return this.#meetAgain(session, message.peers[0]?.id);
      case "peer-joined":
        if (session.peer !== undefined && this.#partner === undefined) this.#meetAgain(session, message.peer.id);
        return;
      default:
        return;
    }
  }

  /** Somebody is in the room who may be the other side: it proves that with a record that opens. */
  #meetAgain(session: Session, partner: string | undefined): void {
    if (partner === undefined) return;
    this.#partner = partner;
    this.#unproven = true;
    this.#away = false;
    // Says nothing, and shows who it is that says it.
    this.#signal({ type: "ice-candidate", candidate: null });
    session.partnerAnew();
  }

  /** Whether what is said over the server reaches the other side soon. */
  #reachable(): boolean {
    const signaling = this.#signaling;
    if (signaling === undefined || signaling.over || !signaling.open) return signaling?.check(), false;
    return signaling.heardAt > this.#askedAt && this.#partner !== undefined && !this.#away;
  }

  #visited(peer: string): void {
    if (this.role === "guest") return;
    this.#doorway.enter(peer);
    this.emit("visitor", "came");
  }

  /** Somebody holds the place of the guest and shows no guess: leaves the room and makes it again. */
  #turnAway(): void {
    const signaling = this.#signaling;
    if (signaling === undefined || this.#state === "closed") return;
    this.#doorway.clear();
    this.#signaling = undefined;
    signaling.leave();
    this.#become("joining");
    this.emit("visitor", "silent");
    this.#retake(signaling.joined.room, FIRST_RETAKE_MS);
  }

  /** `wait` doubles each time, so it is also about how long the room has been asked for. */
  #retake(room: string, wait: number): void {
    this.#enter({ room, create: true, capacity: PLACES }).then(
      (signaling) => this.#adopt(signaling) && this.#become("waiting"),
      (error: unknown) => {
        if (this.#state === "closed") return;
        if (wait > RETAKE_LIMIT_MS) return this.#end(roomLost(asFailure(error, "server-unreachable")));
        this.#limit = setTimeout(() => this.#retake(room, 2 * wait), wait);
      },
    );
  }

  #partnerLeft(): void {
    if (this.#session === undefined && this.#pairing instanceof HostPairing) return void this.#forgetGuest();
    this.#end(new PeerlineError("peer-gone", "The other side left."));
  }

  /** Back to waiting. Returns who it was, as it may still be in the room. */
  #forgetGuest(): string | undefined {
    if (!(this.#pairing instanceof HostPairing)) return undefined;
    const guest = this.#partner;
    clearTimeout(this.#limit);
    this.#partner = undefined;
    this.#run(this.#pairing.guestLeft());
    this.#become("waiting");
    return guest;
  }

  /** The guest fell silent between its guess and the proof: it has had its time. */
  #giveUpGuest(): void {
    if (this.#forgetGuest() !== undefined) this.#turnAway();
  }

  #receiveSealed(from: string, data: string): void {
    const record = recordOf(data);
    if (this.#session?.peer !== undefined && (this.#unproven || from !== this.#partner)) return this.#prove(from, record);
    if (from !== this.#partner) {
      if (this.role === "guest" || !isShare(record)) return;
      if (this.#partner !== undefined) {
        this.#signaling?.send({ type: "sealed", to: from, data: toBase64Url(abortRecord("code-used")) });
        return;
      }
      this.#doorway.leave(from);
      this.#partner = from;
      this.#startPairing(() => this.#giveUpGuest());
    }
    this.#run(this.#pairing?.handle(record) ?? []);
    // It gave up, or speaks another version: the code waits for the next one, once this one is gone.
    if (this.#pairing instanceof HostPairing && this.#pairing.idle) {
      const guest = this.#forgetGuest();
      if (guest !== undefined) this.#visited(guest);
    }
  }

  /** Whatever a stranger says in the room of an established line, it can do nothing with it. */
  #prove(from: string, record: Uint8Array): void {
    if (from !== this.#partner) return;
    const plaintext = this.#pairing?.openAhead(record);
    if (plaintext === undefined) return;
    this.#unproven = false;
    this.#opened(plaintext);
  }

  #run(actions: readonly PairingAction[]): void {
    for (const action of actions) this.#do(action);
  }

  #do(action: PairingAction): void {
    switch (action.do) {
      case "send":
        if (this.#partner !== undefined) this.#signaling?.send({ type: "sealed", to: this.#partner, data: toBase64Url(action.record) });
        return;
      case "agreed":
        return this.#agreed(action.keys);
      case "confirmed":
        this.#phrase = this.#keys?.phrase;
        return clearTimeout(this.#limit);
      case "open":
        return this.#opened(action.plaintext);
      case "stop":
        return this.#stopped(action.reason, action.by);
    }
  }

  /** A guest starts to connect before the host has confirmed: what it says is sealed, so only the right host reads it. */
  #agreed(keys: Keys): void {
    const signaling = this.#signaling;
    if (signaling === undefined) return;
    this.#keys = keys;
    this.#become("connecting");
    const { agent = `peerline-web/${PEERLINE_VERSION}`, intent = "any", iceServers = [], relayOnly } = this.options;
    const session = new Session({
      role: this.role,
      keys,
      iceServers: [...(this.#iceServers ?? signaling.joined.iceServers), ...iceServers],
      agent: agent.slice(0, 64),
      intent,
      transport: relayOnly === true ? "relay" : "all",
      signal: (message) => this.#signal(message),
      check: () => {
        this.#askedAt = performance.now();
        this.#signaling?.check();
      },
      reachable: () => this.#reachable(),
    });
    this.#session = session;
    this.#call = new Call(session.connection);
    session.on("connected", (hello) => {
      this.#signaling?.outliveServer();
      this.#become("connected");
      this.emit("connected", hello);
    });
    session.on("interrupted", () => this.#become("interrupted"));
    session.on("resumed", () => this.#become("connected"));
    session.on("path", (path) => {
      if (this.#path === undefined) this.#signaling?.send({ type: "path", kind: path.kind });
      this.#path = path;
      this.emit("path", path);
    });
    session.on("channel", (channel) => {
      if (!this.#work.take(channel)) this.emit("channel", channel);
    });
    session.on("closed", (error) => this.#end(error));
  }

  #signal(message: SealedMessage): boolean {
    const signaling = this.#signaling;
    if (signaling === undefined || this.#partner === undefined || this.#pairing === undefined) return false;
    // Without a connection to the server it waits for one, unless the other side can be reached without.
    if (signaling.over || (!signaling.open && this.#session?.peer !== undefined)) return false;
    // It would wait until the other side's connection to the server is back, and that side's own offers with it.
    if (this.#away && this.#state === "connected" && message.type === "offer") return false;
    const record = this.#pairing.seal(utf8(JSON.stringify(message)));
    if (record === undefined) return false;
    signaling.send({ type: "sealed", to: this.#partner, data: toBase64Url(record) });
    return true;
  }

  #opened(plaintext: Uint8Array): void {
    try {
      const message = parseSealedMessage(new TextDecoder("utf-8", { fatal: true }).decode(plaintext));
      if (message.type !== "unknown") this.#session?.receive(message);
    } catch (error) {
      this.#end(asFailure(error, "protocol"));
    }
  }

  #stopped(reason: AbortReason, by: "us" | "peer"): void {
    // A record that does not open ends the use of this server, not of an established line.
    if (this.#session?.peer !== undefined) return this.#signaling?.leave();
    this.#end(stopped(this.role, reason, by));
  }

  #connected(): Session {
    if (this.#session?.peer === undefined || this.#state === "closed") throw new PeerlineError("peer-gone", "There is no connection.");
    return this.#session;
  }

  #become(state: LineState): void {
    if (this.#state === state || this.#state === "closed") return;
    this.#state = state;
    this.emit("state", state);
  }

  #end(error: PeerlineError | undefined): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#limit);
    this.#doorway.clear();
    this.#become("closed");
    if (error !== undefined) this.#session?.close(error.code === "tampered" ? "tampered" : "internal", error.message);
    this.#signaling?.leave();
    // They say why, before their channels close without a reason.
    this.#work.end(error ?? new PeerlineError("peer-gone", "The other side closed the connection."));
    this.emit("closed", error);
  }
}

/** What is not base64url is no record, which pairing answers like any other. */
function recordOf(data: string): Uint8Array {
  try {
    return fromBase64Url(data);
  } catch {
    return new Uint8Array();
  }
}
