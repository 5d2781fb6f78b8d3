/**
 * One peer connection from the first offer to the bye (docs/protocol.md section 3). It is given sealed messages and
 * gives sealed messages; it knows nothing of codes or of the server.
 */
import { type Absence, endsHandshakes, endsSession } from "./absence.js";
import { concat, equal, fromBase64Url, toBase64Url } from "./bytes.js";
import { Channel, type ChannelData } from "./channel.js";
import { type ByeCode, type Hello, type Intent, type Negotiating, type SealedMessage, parseControlMessage } from "./control.js";
import { Events } from "./events.js";
import { PeerlineError, asFailure } from "./errors.js";
import { Malformed } from "./json.js";
import { type Keys, type Role, otherRole, tag } from "./keys.js";
import { Lanes, MOST_LANES } from "./lanes.js";
import { Negotiation } from "./negotiation.js";
import { type Path, type Trouble, hasPath, isBroken, pathOf } from "./path.js";
import { fingerprintOf } from "./sdp.js";
import { failureOfBye, gone, noPath } from "./session-failures.js";
import { Timers } from "./timers.js";

/** What a session is made from. */
export interface SessionOptions {
  readonly role: Role;
  readonly keys: Keys;
  readonly iceServers: readonly RTCIceServer[];
  readonly agent: string;
  readonly intent: Intent;
  readonly transport: RTCIceTransportPolicy;
  /** Sends over the server; returns whether the server is still there. */
  readonly signal: (message: SealedMessage) => boolean;
  /** Asks whether the server is there, which `reachable` then tells of. */
  readonly check: () => void;
  /** Whether what is said over the server reaches the other side soon. */
  readonly reachable: () => boolean;
}

/** Events of a {@link Session}. */
export interface SessionEvents {
  /** The other side is verified; channels may be used. */
  connected: Hello;
  /** The other side cannot be reached; another path is looked for, and channels stand still. */
  interrupted: undefined;
  /** It can be reached again. */
  resumed: undefined;
  /** Path or round trip changed. */
  path: Path;
  /** The other side opened a channel. */
  channel: Channel;
  /** The end; nothing follows. */
  closed: PeerlineError | undefined;
}

/** ICE, then DTLS and SCTP: protocol section 6. */
const ICE_LIMIT_MS = 30_000;
const DTLS_LIMIT_MS = 15_000;
const HELLO_LIMIT_MS = 30_000;
/** Protocol 3.3. */
const PING_MS = 5_000;
const SILENCE_LIMIT_MS = 15_000;
/** From the loss of the path to the end of the line. */
const GIVE_UP_MS = 120_000;
/** Chromium reports `disconnected` about 5 s after the last packet; most short gaps heal within 3 s more. */
const RESTART_AFTER_MS = 3_000;
/** The polite side leaves the restart to the other one, unless that does not come. */
const POLITE_RESTART_AFTER_MS = 6_000;
/** How soon it is asked again whether the other side can be told of a restart; the polite side takes longer. */
const RESTART_CHECK_MS = 250;
const POLITE_RESTART_CHECK_MS = 1_000;
/** Time for a restart before the next one, and for an answer to it before it is no longer good. */
const RESTART_MS = 6_000;
const PATH_MS = 2_000;
/** For a guest that waits for the host's hello: long enough that no channel is new any more. */
const HELLO_AFTER_MS = 500;
const MOST_CHANNELS = 64;
const LONGEST_BYE = 512;
const CONTROL_PROTOCOL = "peerline/1";
/** Datagrams that Firefox takes, as UDP payload. */
const FIREFOX_PACKET = 8_000;
/** How long a bye may take to leave before the connection is closed all the same. */
const BYE_LIMIT_MS = 1_000;
/** How long the answer to an offer may take while there is a path. */
const ANSWER_LIMIT_MS = 10_000;
/** How long a pong waits for an answer: the other side waits no longer with its tracks. */
const PONG_LIMIT_MS = 1_000;

/** A connection to the other side. */
export class Session extends Events<SessionEvents> {
  readonly connection: RTCPeerConnection;
  #control: Channel | undefined;
  readonly #negotiation: Negotiation;
  readonly #lanes: Lanes;
  #theirs: Hello | undefined;
  #heardAt = performance.now();
  #beatAt = performance.now();
  #pings = 0;
  #channels = 1;
  #absence: Absence | undefined;
  #trouble: Trouble | undefined;
  #offeredOverServer = false;
  #saidHello = false;
  #saidBye = false;
  #closed = false;
  readonly #timers = new Timers();

  constructor(private readonly options: SessionOptions) {
    super();
    const configuration: RTCConfiguration = {
      iceServers: [...options.iceServers],
      iceTransportPolicy: options.transport,
      bundlePolicy: "max-bundle",
    };
    const connection = new RTCPeerConnection(configuration);
    this.connection = connection;
    this.#lanes = new Lanes({
      configuration,
      // The guest made the first offer.
      even: options.role === "guest",
      say: (message) => {
        if (this.#control?.open === true) this.#control.send(JSON.stringify(message));
      },
      accepted: (channel) => this.#accept(channel),
    });
    this.#negotiation = new Negotiation(connection, {
      role: options.role,
      send: (message) => this.#signal(message),
      failed: (error) => this.#fail(error),
    });
    connection.oniceconnectionstatechange = () => this.#iceChanged();
    connection.onconnectionstatechange = () => {
      if (this.#theirs !== undefined) return;
      if (connection.connectionState === "failed") this.#late(noPath());
      if (connection.connectionState === "connected") this.#shakeHands();
    };
    connection.onnegotiationneeded = () => {
      if (this.#theirs !== undefined) this.#negotiation.offer();
    };
    connection.ondatachannel = ({ channel }) => this.#accept(channel);
    this.#timers.after("ice", ICE_LIMIT_MS, () => this.#late(noPath()));
    if (options.role === "host") return;
    this.#adopt(connection.createDataChannel("control", { ordered: true, protocol: CONTROL_PROTOCOL }));
    this.#negotiation.offer();
  }

  /** What the other side said of itself, once connected. */
  get peer(): Hello | undefined {
    return this.#theirs;
  }

  /** A message that came sealed over the server. */
  receive(message: SealedMessage): void {
    if (this.#closed) return;
    if (message.type === "bye") return this.#endByPeer(message.code, message.message);
    if (message.type === "offer" || message.type === "answer") this.#negotiation.engine = message.engine;
    this.#negotiation.receive(message);
  }

  /**
   * The server says that the other side left it, or that the connection to it broke. That it left us too is certain
   * once the path breaks.
   */
  partnerLeft(onPurpose: boolean): void {
    const now = performance.now();
    // One that is away loses its place in the end, and is away since then all the same.
    this.#absence = { at: onPurpose ? now : (this.#absence?.at ?? now), onPurpose };
    if (this.#theirs === undefined) this.#timers.after("absence", endsHandshakes(this.#absence) - now, () => this.#missed());
    else this.#goneIfLeft();
  }

  /** The other side is back on the server; what it was sent meanwhile has reached it. */
  partnerBack(): void {
    this.#absence = undefined;
    this.#timers.clear("absence");
  }

  /** The other side is in the room anew, and what was on its way between the two is lost. */
  partnerAnew(): void {
    this.partnerBack();
    if (this.#offeredOverServer) this.#negotiation.forgotten();
  }

  /** Opens a channel. @throws PeerlineError before the other side is verified */
  open(label: string, init: RTCDataChannelInit): Channel {
    if (this.#theirs === undefined || this.#closed) throw new PeerlineError("peer-gone", "There is no connection.");
    if (this.#channels >= MOST_CHANNELS) throw new PeerlineError("protocol", "Too many channels are open.");
    return this.#track(this.connection.createDataChannel(label, init));
  }

  /** How many connections for bulk the other side takes at a time. */
  get lanes(): number {
    return Math.min(this.#theirs?.lanes ?? 0, MOST_LANES);
  }

  /**
   * Opens a channel on a connection of its own, which ends with it. One that does not come up closes.
   * @throws PeerlineError if there is no session, or too many of them
   */
  openLane(label: string, protocol: string): Channel {
    return this.#track(this.#lanes.open(label, protocol, this.lanes));
  }

  /** Says bye and closes. */
  close(code: ByeCode, message: string): void {
    this.#bye(code, message);
    this.#end(undefined);
  }

  // --- Negotiation ---------------------------------------------------------------------------------------------

  /**
   * Over the server while it is there, because the path that `control` uses may be the one that broke; over `control`
   * otherwise, so that a server that went away interrupts nothing.
   */
  #signal(message: Negotiating): void {
    if (this.#closed) return;
    const { agent, signal } = this.options;
    const sent = signal(message.type === "ice-candidate" ? message : { ...message, agent, engine: "browser" });
    if (message.type === "offer") {
      this.#offeredOverServer = sent;
      // The first one has a limit of its own, and a lost path brings another one.
      if (this.#theirs !== undefined) this.#timers.after("answer", ANSWER_LIMIT_MS, () => this.#unanswered());
    }
    if (!sent && this.#control?.open === true) this.#control.send(JSON.stringify(message));
  }

  /** A server may lose what it was given, and nobody else would ask for it. */
  #unanswered(): void {
    if (!this.#negotiation.awaitsAnswer) return;
    // Whoever restores the path offers anew.
    if (this.#trouble !== undefined) return this.#timers.after("answer", ANSWER_LIMIT_MS, () => this.#unanswered());
    this.#negotiation.forgotten({});
  }

  // --- Control -------------------------------------------------------------------------------------------------

  /** Takes the control channel: the guest's own, or the first one of its protocol that the host is given. */
  #adopt(raw: RTCDataChannel): void {
    const control = new Channel(raw, () => this.#heard());
    this.#control = control;
    control.on("closed", () => this.#end(gone()));
    // Until then the channel holds what comes. One that closes instead ends the session by itself.
    const ready = control.ready().then(() => this.#negotiation.settled());
    ready.then(() => this.#greet(control), () => undefined);
  }

  /**
   * The guest says hello first. Chromium can lose what the other side sends on a channel that it has only just been
   * given, so a host answers the guest's hello, or speaks up after a while.
   */
  #greet(control: Channel): void {
    if (this.#closed) return;
    if (this.options.role === "guest") this.#hello(control);
    else this.#timers.after("hello", HELLO_AFTER_MS, () => this.#hello(control));
    control.read((data) => this.#receiveControl(control, data));
  }

  #hello(control: Channel): void {
    if (this.#closed || this.#saidHello) return;
    this.#saidHello = true;
    const { agent, intent, role } = this.options;
    const certificates = toBase64Url(this.#certificates(role));
    // Connections of Chromium end at packets of about 2,000 bytes, and nothing tells engines apart but their names.
    const packet = navigator.userAgent.includes("Firefox/") ? { packet: FIREFOX_PACKET } : {};
    const hello = { type: "hello", version: 1, agent, engine: "browser", intent, certificates, lanes: MOST_LANES, ...packet } satisfies Hello;
    control.send(JSON.stringify(hello));
  }

  /** Tag of `role` over the fingerprints of offerer and answerer; the guest made the first offer. */
  #certificates(role: Role): Uint8Array {
    const ours = fingerprintOf(this.connection.localDescription?.sdp ?? "");
    const theirs = fingerprintOf(this.connection.remoteDescription?.sdp ?? "");
    const both = this.options.role === "guest" ? concat(ours, theirs) : concat(theirs, ours);
    return tag(this.options.keys.certificates[role], both);
  }

  #receiveControl(control: Channel, data: ChannelData): void {
    if (this.#closed) return;
    try {
      if (typeof data !== "string") throw new Malformed("control message is not text");
      const message = parseControlMessage(data);
      if (message.type === "hello") return this.#welcome(control, message);
      if (message.type === "bye") return this.#endByPeer(message.code, message.message);
      if (this.#theirs === undefined) throw new Malformed("control message before hello");
      switch (message.type) {
        case "ping":
          void this.#pong(control, message.id);
          return;
        case "offer":
        case "answer":
        case "ice-candidate":
          return this.#negotiation.receive(message);
        case "lane-offer":
        case "lane-answer":
        case "lane-candidate":
        case "lane-close":
          return this.#lanes.receive(message);
        case "pong":
        case "unknown":
          return;
      }
    } catch (error) {
      this.#fail(error instanceof Malformed ? new PeerlineError("protocol", error.message) : asFailure(error, "protocol"));
    }
  }

  /**
   * In order with descriptions: whoever asks behind an answer wants to know whether it was applied. That went over the
   * server if our offer did, where the question may have overtaken it.
   */
  async #pong(control: Channel, id: number): Promise<void> {
    await this.#negotiation.settled();
    const late = new Promise((resolve) => setTimeout(resolve, PONG_LIMIT_MS));
    await Promise.race([late, this.#negotiation.answered().then(() => this.#negotiation.settled())]);
    if (!this.#closed && control.open) control.send(JSON.stringify({ type: "pong", id }));
  }

  #welcome(control: Channel, hello: Hello): void {
    if (this.#theirs !== undefined) throw new Malformed("second hello");
    if (hello.version !== 1) throw new PeerlineError("peer-version", "The other side speaks another version.");
    const expected = this.#certificates(otherRole(this.options.role));
    if (!equal(fromBase64Url(hello.certificates ?? ""), expected)) {
      throw new PeerlineError("tampered", "The other side's certificate is not the one that was agreed on.");
    }
    this.#theirs = hello;
    this.#hello(control);
    this.#timers.clear("ice");
    this.#timers.clear("absence");
    this.#timers.every("beat", PING_MS, () => this.#beat());
    this.#timers.every("path", PATH_MS, () => void this.#measure());
    void this.#measure();
    this.emit("connected", hello);
  }

  #heard(): void {
    this.#heardAt = performance.now();
    if (this.#trouble?.silent === true) this.#healed();
  }

  #beat(): void {
    const now = performance.now();
    // This device slept: the silence says nothing about the other side.
    if (now - this.#beatAt > 2 * PING_MS) this.#heardAt = now;
    this.#beatAt = now;
    if (now - this.#heardAt > SILENCE_LIMIT_MS && this.#trouble === undefined) this.#interrupted(true);
    if (this.#control?.open === true) this.#control.send(JSON.stringify({ type: "ping", id: this.#pings++ }));
  }

  // --- Path ----------------------------------------------------------------------------------------------------

  #iceChanged(): void {
    const state = this.connection.iceConnectionState;
    if (hasPath(state)) {
      if (this.#theirs !== undefined) {
        this.#heardAt = performance.now();
        if (this.#trouble?.silent === false) this.#healed();
        return;
      }
      return this.#shakeHands();
    }
    if (this.#theirs === undefined || !isBroken(state)) return;
    if (this.#trouble?.silent !== false) this.#interrupted(false);
    this.#goneIfLeft();
  }

  /** Limits what follows once ICE has a path: DTLS, and then the other side's hello. */
  #shakeHands(): void {
    const [limit, late] =
      this.connection.connectionState === "connected"
        ? [HELLO_LIMIT_MS, "The connection came up but the other side said nothing."]
        : [DTLS_LIMIT_MS, "The two sides met but could not agree on keys."];
    this.#timers.after("ice", limit, () => this.#late(new PeerlineError("timeout", late)));
  }

  /** Whom the server has missed for long: a path that works has somebody behind it. */
  #missed(): void {
    if (!hasPath(this.connection.iceConnectionState)) return this.#end(gone());
    this.#timers.after("absence", RESTART_CHECK_MS, () => this.#missed());
  }

  /** A handshake came to nothing; the other side's end explains that. */
  #late(error: PeerlineError): void {
    this.#end(this.#absence === undefined ? error : gone());
  }

  /** `silent`: ICE has a path, and nothing comes over it. */
  #interrupted(silent: boolean): void {
    const now = performance.now();
    const wait = this.#negotiation.polite ? POLITE_RESTART_AFTER_MS : RESTART_AFTER_MS;
    const since = this.#trouble?.since ?? now;
    this.#trouble = { since, silent, restartAt: silent ? Infinity : now + wait, tickAt: now };
    if (!silent) this.options.check();
    this.#timers.every("heal", RESTART_CHECK_MS, () => this.#heal());
    this.emit("interrupted", undefined);
  }

  #healed(): void {
    this.#trouble = undefined;
    this.#timers.clear("heal");
    this.emit("resumed", undefined);
  }

  #heal(): void {
    const trouble = this.#trouble;
    if (trouble === undefined) return;
    const now = performance.now();
    // This device slept, which is not the other side's absence.
    if (now - trouble.tickAt > 2 * PING_MS) trouble.since += now - trouble.tickAt;
    trouble.tickAt = now;
    if (now - trouble.since > GIVE_UP_MS) return this.#end(new PeerlineError("peer-gone", "The connection was lost and could not be restored."));
    if (this.#goneIfLeft() || now < trouble.restartAt) return;
    // What waits somewhere for an outage to end would be made of addresses that are not ours any more.
    if (!this.options.reachable()) {
      trouble.restartAt = now + (this.#negotiation.polite ? POLITE_RESTART_CHECK_MS : RESTART_CHECK_MS);
      return;
    }
    trouble.restartAt = now + RESTART_MS;
    this.options.check();
    // One that waits for the path is not answered before another one has brought it back.
    if (!this.#offeredOverServer) this.#negotiation.forgotten();
    this.#negotiation.offer({ iceRestart: true });
  }

  #goneIfLeft(): boolean {
    const [absence, trouble] = [this.#absence, this.#trouble];
    if (absence === undefined || trouble === undefined || trouble.silent) return false;
    const over = endsSession(absence, trouble.since) <= performance.now();
    if (over) this.#end(gone());
    return over;
  }

  async #measure(): Promise<void> {
    const path = pathOf((await this.connection.getStats()) as unknown as ReadonlyMap<string, unknown>);
    if (path !== undefined && !this.#closed) this.emit("path", path);
  }

  // --- Channels ------------------------------------------------------------------------------------------------

  #accept(raw: RTCDataChannel): void {
    if (this.#control === undefined && raw.protocol === CONTROL_PROTOCOL) return this.#adopt(raw);
    if (this.#channels >= MOST_CHANNELS) return raw.close();
    const channel = this.#track(raw);
    if (this.#theirs !== undefined) return this.emit("channel", channel);
    // Streams are not ordered among each other: a channel may overtake the hello. It is not read until then.
    const off = this.on("connected", () => {
      off();
      this.emit("channel", channel);
    });
  }

  #track(raw: RTCDataChannel): Channel {
    this.#channels++;
    const channel = new Channel(raw, () => this.#heard());
    channel.on("closed", () => this.#channels--);
    return channel;
  }

  // --- The end -------------------------------------------------------------------------------------------------

  #fail(error: PeerlineError): void {
    const code: ByeCode = error.code === "tampered" ? "tampered" : "protocol";
    this.#bye(code, error.message);
    this.#end(error);
  }

  #endByPeer(code: ByeCode, message: string): void {
    this.#end(failureOfBye(code, message));
  }

  #bye(code: ByeCode, message: string): void {
    const bye = { type: "bye", code, message: message.slice(0, LONGEST_BYE) } as const;
    this.#saidBye = true;
    if (this.#control?.open === true) this.#control.send(JSON.stringify(bye));
    else this.options.signal(bye);
  }

  #end(error: PeerlineError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#negotiation.stop();
    this.#lanes.end();
    this.#timers.stop();
    const { connection } = this;
    // The other side closes when it has read our bye; a lost one must not keep the connection.
    if (this.#saidBye && this.#control?.open === true) {
      const limit = setTimeout(() => connection.close(), BYE_LIMIT_MS);
      this.#control.on("closed", () => {
        clearTimeout(limit);
        connection.close();
      });
    } else {
      connection.close();
    }
    this.emit("closed", error);
  }
}
