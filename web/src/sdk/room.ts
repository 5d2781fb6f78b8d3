/**
 * An open room in which everybody sees and hears everybody (docs/protocol.md 1.4): directly, each connected to each, or
 * through a forwarder while there is one. The server is trusted to say who is there.
 */
import { socketUrl } from "./address.js";
import type { Kind } from "./call.js";
import { PeerlineError, asFailure } from "./errors.js";
import { Events } from "./events.js";
import { Forwarders, isForwarder } from "./forwarders.js";
import { RoomLine } from "./room-line.js";
import { type Joined, Signaling } from "./signaling.js";
import type { Peer, ServerMessage } from "./wire.js";

/** Before a line that broke down is opened again: at first, and at most. */
const RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;

/** Ids of ours that others may still know us by: of that many restarts of the server, in quick succession. */
const MOST_IDS = 8;

/** Somebody else in the room. */
export interface Person {
  readonly id: string;
  readonly name: string | undefined;
  /** What they send: hand it to a video element once. */
  readonly stream: MediaStream;
}

/** Events of a {@link Room}. */
export interface RoomEvents {
  /** Somebody came, left, or began or ended to send; {@link Room.people} has changed. */
  people: undefined;
  /** Whether what is sent goes through a forwarder from now on. */
  forwarded: boolean;
  /** The id of whoever speaks, as a forwarder says it. */
  speaker: string;
  /** The place in the room is gone; nothing follows. */
  closed: PeerlineError | undefined;
}

/** How a room is entered. */
export interface RoomOptions {
  /** Address of the server; the one that this module came from, otherwise. */
  readonly server?: string | URL;
  readonly token?: string;
  /** What the others shall call this person. */
  readonly name?: string;
}

/** A place in an open room. */
export class Room extends Events<RoomEvents> {
  readonly #people = new Map<string, Person>();
  readonly #lines = new Map<string, RoomLine>();
  readonly #forwarders = new Forwarders();
  /** Those who send through a forwarder and are not in the room. */
  readonly #outsiders = new Set<string>();
  /** Whom we call: who was there before us, and a forwarder once the line to it was lost. The others call. */
  readonly #callees = new Set<string>();
  /** Who was here before the server forgot us all, and is still connected: they are seen as before until they are here again. */
  readonly #former = new Set<string>();
  /** Who somebody says to have been before. */
  readonly #was = new Map<string, readonly string[]>();
  /** How often in a row a line to somebody broke down. */
  readonly #failures = new Map<string, number>();
  readonly #local = new Map<Kind, MediaStreamTrack>();
  readonly #abort = new AbortController();
  #signaling: Signaling | undefined;
  #iceServers: readonly RTCIceServer[] = [];
  /** Our ids: now, and before the server forgot us, the newest first. */
  #ids: readonly string[] = [];
  #forwarded = false;
  #closed = false;

  private constructor(
    /** Its name. */
    readonly name: string,
    options: RoomOptions,
  ) {
    super();
    const join = { room: name, ...(options.token === undefined ? {} : { token: options.token }), ...(options.name === undefined ? {} : { name: options.name }) };
    const url = socketUrl(options.server ?? new URL(".", import.meta.url));
    // The caller gets to listen before the first event.
    queueMicrotask(() => {
      Signaling.join(url, join, this.#abort.signal).then(
        (signaling) => this.#joined(signaling),
        (error: unknown) => this.#end(asFailure(error, "server-unreachable")),
      );
    });
  }

  /** Enters a room, which is made if it is not there. Listen to `people` and `closed`. */
  static enter(name: string, options: RoomOptions = {}): Room {
    return new Room(name, options);
  }

  /** Everybody else, in the order in which they came. */
  get people(): readonly Person[] {
    return [...this.#people.values()];
  }

  /** Whether what is sent goes through a forwarder. */
  get forwarded(): boolean {
    return this.#forwarded;
  }

  /** The connections, for measuring. */
  get connections(): readonly RTCPeerConnection[] {
    return [...this.#lines.values()].map((line) => line.connection);
  }

  /** The track of ours that everybody gets, if any. */
  sending(kind: Kind): MediaStreamTrack | undefined {
    return this.#local.get(kind);
  }

  /** Sends this track to everybody from now on, in place of the one before; `undefined` stops. It stays yours. */
  async send(kind: Kind, track: MediaStreamTrack | undefined): Promise<void> {
    if (track === undefined) this.#local.delete(kind);
    else this.#local.set(kind, track);
    await Promise.all([...this.#lines.values()].map((line) => line.send(kind, track)));
  }

  /** Leaves. */
  close(): void {
    this.#end(undefined);
  }

  #joined(signaling: Signaling): void {
    if (this.#closed) return signaling.leave();
    this.#signaling = signaling;
    signaling.on("message", (message) => this.#hear(message));
    signaling.on("closed", (error) => this.#end(error));
    signaling.outliveServer();
    this.#settle(signaling.joined);
  }

  /** The room is entered, for the first time or anew with other ids for everybody. */
  #settle({ peers, self, iceServers }: Joined): void {
    this.#iceServers = iceServers;
    this.#ids = [self, ...this.#ids].slice(0, MOST_IDS);
    this.#keep(peers);
    this.#callees.clear();
    this.#forwarders.clear();
    for (const peer of peers) {
      this.#callees.add(peer.id);
      this.#meet(peer);
    }
    this.#introduce();
    this.#reroute();
    this.emit("people", undefined);
  }

  /** In a room that the server had forgotten, what is connected stays, and whoever it brings. */
  #keep(peers: readonly Peer[]): void {
    this.#was.clear();
    // If only we were forgotten, the others have hung up on us.
    const isForgotten = !peers.some(({ id }) => this.#lines.has(id) || this.#people.has(id));
    for (const [id, line] of [...this.#lines]) {
      if (isForgotten && line.works) this.#former.add(id);
      else this.#drop(id);
    }
    for (const id of [...this.#people.keys()]) {
      if (this.#lines.has(id) || this.#carrier !== undefined) this.#former.add(id);
      else this.#people.delete(id);
    }
  }

  /** Tells who we were to those who may still be connected with us, so that they see us once. */
  #introduce(to?: string): void {
    const [, ...peers] = this.#ids;
    if (peers.length > 0) this.#signaling?.send({ type: "message", ...(to === undefined ? {} : { to }), payload: { type: "was", peers } });
  }

  /** Somebody is connected again: what is left of them from before goes, and their forwarder once it brings nobody else. */
  #succeed(id: string): void {
    const was = this.#was.get(id);
    if (was === undefined || this.#lines.get(id)?.works !== true) return;
    this.#was.delete(id);
    for (const before of was) {
      this.#drop(before);
      if (this.#former.delete(before)) this.#people.delete(before);
    }
    const carrier = this.#carrier;
    const isNeeded = [...this.#former].some((other) => this.#people.has(other) && !this.#lines.has(other));
    if (carrier !== undefined && !isNeeded) this.#drop(carrier);
    this.#reroute();
    this.emit("people", undefined);
  }

  /** A forwarder of before to which we are still connected. */
  get #carrier(): string | undefined {
    return [...this.#former].find((id) => this.#lines.get(id)?.forwards === true);
  }

  #meet(peer: Peer): void {
    if (isForwarder(peer)) this.#forwarders.came(peer);
    else this.#people.set(peer.id, { id: peer.id, name: peer.name, stream: new MediaStream() });
  }

  #hear(message: ServerMessage): void {
    switch (message.type) {
      case "joined":
        return this.#settle(message);
      case "peer-joined":
        if (message.iceServers !== undefined) this.#iceServers = message.iceServers;
        this.#meet(message.peer);
        this.#introduce(message.peer.id);
        return this.emit("people", undefined);
      case "peer-left":
        return this.#left(message.peer);
      case "peer-away":
        if (this.#forwarders.went(message.peer)) this.#miss(message.peer);
        return;
      case "peer-back":
        if (this.#forwarders.back(message.peer)) this.#welcome(message.peer);
        return;
      case "offer":
        this.#answering(message.from, message.sdp)?.receive({ type: message.type, sdp: message.sdp });
        return;
      case "answer":
        this.#lines.get(message.from)?.receive({ type: message.type, sdp: message.sdp });
        return;
      case "ice-candidate":
        // It may overtake the offer that it belongs to, but not in a room where messages keep their order.
        this.#lines.get(message.from)?.receive({ type: message.type, candidate: message.candidate });
        return;
      case "message":
        return this.#told(message.from, message.payload);
      default:
    }
  }

  #told(from: string, payload: unknown): void {
    if (typeof payload !== "object" || payload === null) return;
    const { type, peer, peers } = payload as Readonly<Record<string, unknown>>;
    if (type === "speaker" && this.#forwarders.has(from) && typeof peer === "string" && this.#people.has(peer)) this.emit("speaker", peer);
    if (type !== "was" || !this.#people.has(from) || !Array.isArray(peers)) return;
    // Nobody can take the place of somebody who is in the room.
    this.#was.set(from, peers.filter((id): id is string => typeof id === "string" && this.#former.has(id)));
    this.#succeed(from);
  }

  /** The line on which somebody may offer; `undefined` if we do not talk to them directly now. */
  #answering(from: string, sdp: string): RoomLine | undefined {
    const known = this.#lines.get(from);
    // Who has another certificate than before calls anew, having lost us.
    if (known?.isOf(sdp) === false) this.#drop(from);
    else if (known !== undefined) return known;
    const mayCall = this.#forwarders.has(from) || (this.#isDirect && this.#people.has(from));
    return mayCall ? this.#open(from, false) : undefined;
  }

  /** Whether people have lines to each other: a forwarder that is away may be lost to whoever calls us. */
  get #isDirect(): boolean {
    return !this.#forwarded || !this.#forwarders.isHere;
  }

  /** The forwarder that counts. */
  get #forwarder(): string | undefined {
    return this.#forwarders.chosen((id) => this.#lines.get(id)?.works === true);
  }

  /** A forwarder cannot be reached through the server. It goes on if we are connected; otherwise we do without it. */
  #miss(id: string): void {
    if (this.#lines.get(id)?.works === true) return;
    this.#callees.add(id);
    this.#drop(id);
    this.#reroute();
  }

  /** A forwarder is back: who called us meanwhile had lost it, and now has it again. */
  #welcome(id: string): void {
    if (this.#forwarder === id && this.#lines.get(id)?.works === true) this.#use(id);
    else this.#reroute();
  }

  /** What there is of forwarders has changed: calls whoever is ours to call now. */
  #reroute(): void {
    if (this.#forwarder === undefined && this.#carrier === undefined) this.#through(false);
    this.#connect();
  }

  #connect(): void {
    const forwarder = this.#forwarder;
    const wanted = forwarder === undefined ? [...this.#people.keys()] : [forwarder];
    for (const id of wanted) if (this.#callees.has(id) && !this.#lines.has(id)) this.#open(id, true);
  }

  #open(id: string, calls: boolean): RoomLine {
    const forwards = this.#forwarders.has(id);
    const line: RoomLine = new RoomLine({
      calls,
      forwards,
      iceServers: this.#iceServers,
      signal: (message) => this.#signaling?.send({ ...message, to: id }),
      // A forwarder calls each of its streams as the one who sends it.
      track: (track, stream) => this.#arrived(forwards ? stream : id, track, forwards),
      connected: () => {
        this.#failures.delete(id);
        if (forwards) this.#use(id);
        else this.#succeed(id);
      },
      path: ({ kind }) => this.#signaling?.send({ type: "path", kind }),
      failed: () => {
        // One that was replaced has nothing more to say.
        if (this.#lines.get(id) === line) this.#failed(id, calls || forwards);
      },
    });
    this.#lines.set(id, line);
    for (const [kind, track] of this.#local) void line.send(kind, track);
    return line;
  }

  /** A line broke down. Whoever called calls again after a while, and a forwarder is always called; not one that is away. */
  #failed(id: string, calls: boolean): void {
    // What has become of the server is found out now, for a new call needs it.
    this.#signaling?.check();
    const isFormer = this.#former.has(id);
    this.#drop(id);
    if (isFormer) return this.#reroute();
    if (!calls || this.#closed) return;
    if (this.#forwarders.has(id)) {
      this.#callees.add(id);
      if (this.#forwarder !== id) return this.#reroute();
    }
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    const pause = Math.min(RETRY_MS << Math.min(failures, 6), LONGEST_RETRY_MS);
    setTimeout(() => {
      const isWanted = this.#forwarder === id || (this.#isDirect && this.#people.has(id));
      if (isWanted && !this.#closed && !this.#lines.has(id)) this.#open(id, true);
    }, pause);
  }

  /** Everything goes through this forwarder now. */
  #use(forwarder: string): void {
    for (const id of [...this.#lines.keys()]) if (id !== forwarder) this.#drop(id);
    this.#through(true);
  }

  #through(forwarded: boolean): void {
    if (this.#forwarded === forwarded) return;
    this.#forwarded = forwarded;
    this.emit("forwarded", forwarded);
  }

  #arrived(id: string, track: MediaStreamTrack, forwarded: boolean): void {
    // What a forwarder sends of nobody in the room comes from programs outside it. Sections without a stream carry nothing yet.
    const isOutside = forwarded && id !== "" && (this.#forwarders.has(id) || !this.#people.has(id));
    // A forwarder may not have noticed yet that we are here again.
    const isNobody = this.#ids.includes(id) || (!isOutside && !this.#people.has(id));
    if (isNobody) {
      // It may have been somebody's before.
      track.onunmute = track.onmute = track.onended = null;
      this.#unshow([track]);
      return this.emit("people", undefined);
    }
    const show = (): void => {
      const person = this.#people.get(id) ?? (isOutside ? this.#outside(id) : undefined);
      if (person === undefined || person.stream.getTracks().includes(track)) return;
      // The newest one of a kind is the one that counts; a track that is used again may have been somebody else's.
      this.#unshow([track], id);
      for (const other of person.stream.getTracks()) if (other.kind === track.kind) person.stream.removeTrack(other);
      person.stream.addTrack(track);
      this.emit("people", undefined);
    };
    const hide = (): void => {
      const person = this.#people.get(id);
      if (person === undefined || !person.stream.getTracks().includes(track)) return;
      this.#unshow([track]);
      this.emit("people", undefined);
    };
    track.onunmute = show;
    track.onmute = hide;
    track.onended = hide;
    if (!track.muted) show();
  }

  /** Somebody who is not in the room, for as long as they send. */
  #outside(id: string): Person {
    const person: Person = { id, name: "From outside", stream: new MediaStream() };
    this.#outsiders.add(id);
    this.#people.set(id, person);
    return person;
  }

  /** These tracks are nobody's any more, or somebody else's; who came from outside is gone with the last of them, except for `but`. */
  #unshow(tracks: readonly MediaStreamTrack[], but?: string): void {
    for (const { id, stream } of [...this.#people.values()]) {
      for (const track of tracks) stream.removeTrack(track);
      if (id !== but && stream.getTracks().length === 0 && this.#outsiders.delete(id)) this.#people.delete(id);
    }
  }

  #left(id: string): void {
    this.#drop(id);
    this.#people.delete(id);
    this.#callees.delete(id);
    if (this.#forwarders.left(id)) this.#reroute();
    this.emit("people", undefined);
  }

  #drop(id: string): void {
    const line = this.#lines.get(id);
    if (line === undefined) return;
    this.#lines.delete(id);
    const tracks = line.connection.getReceivers().map(({ track }) => track);
    line.close();
    const isFormer = this.#former.delete(id);
    if (isFormer) this.#people.delete(id);
    if (line.forwards) {
      const brought = [...this.#former].filter((other) => isFormer && !this.#lines.has(other));
      for (const other of [...this.#outsiders, ...brought]) this.#people.delete(other);
      for (const other of brought) this.#former.delete(other);
      this.#outsiders.clear();
    }
    this.#unshow(tracks);
    if (!this.#closed) this.emit("people", undefined);
  }

  #end(error: PeerlineError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort.abort();
    for (const id of [...this.#lines.keys()]) this.#drop(id);
    this.#signaling?.leave();
    this.emit("closed", error);
  }
}
