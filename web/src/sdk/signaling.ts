/**
 * A place in a room on the signaling server: join once, then messages in order, over as many connections as it
 * takes (docs/protocol.md section 1). It knows nothing of pairing.
 */
import { type Carrier, Inlet, connect } from "./carrier.js";
import { Events } from "./events.js";
import { type FailureCode, PeerlineError, asFailure } from "./errors.js";
import { Ledger } from "./ledger.js";
import { type ClientMessage, type Join, type ServerMessage, parseServerMessage, sequenceOf } from "./wire.js";

/** Answer to `join`. */
export type Joined = Extract<ServerMessage, { type: "joined" }>;

/** Events of a {@link Signaling}. */
export interface SignalingEvents {
  /** Any message after `joined`. */
  message: ServerMessage;
  /** The place in the room is gone; nothing follows. */
  closed: PeerlineError;
}

/** A server on the LAN answers in milliseconds; ten seconds is a phone on a bad network. */
const JOIN_LIMIT_MS = 10_000;
/** Protocol 1.5: the server keeps a place for this long. */
const RESUME_WINDOW_MS = 120_000;
const ACK_AFTER_MS = 200;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;
/** Between attempts once the place is given away. */
const SLOW_WAIT_MS = 30_000;
/** Protocol 1.3: the server pings every 25 s and gives up after 60, and so do we where pings are not seen. */
const PING_MS = 25_000;
const SILENCE_LIMIT_MS = 60_000;
/** For an answer that somebody waits for. */
const ANSWER_LIMIT_MS = 5_000;

const FAILURES: Readonly<Record<string, FailureCode>> = {
  "no-such-room": "no-such-room",
  "room-full": "code-used",
  unauthorized: "unauthorized",
};
/** Errors that do not end the membership. */
const HARMLESS = ["no-such-peer", "bad-type"];
/** Errors that end a connection but leave the place. */
const PASSING = ["idle-timeout", "hello-timeout", "server-full", "draining", "internal"];

/** What is about the connection itself. */
const UNNUMBERED: readonly string[] = ["join", "path", "leave", "ping", "ack"] satisfies ClientMessage["type"][];

type ServerError = Extract<ServerMessage, { type: "error" }>;
/** What came of an attempt to come back. */
type Return = "back" | "not yet" | ServerError;

/** A joined room. */
export class Signaling extends Events<SignalingEvents> {
  #refusal: ServerError | undefined;
  #broken: PeerlineError | undefined;
  #carrier: Carrier | undefined;
  #ledger = new Ledger();
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #beatTimer: ReturnType<typeof setInterval> | undefined;
  #heardAt = performance.now();
  #askedToWaitMs = 0;
  #over = false;
  #outlives = false;
  #joined: Joined;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  #hurry = (): void => undefined;
  readonly #ended = new AbortController();

  private constructor(
    private readonly url: URL,
    carrier: Carrier,
    inlet: Inlet,
    joined: Joined,
    private readonly entry: Omit<Join, "type">,
  ) {
    super();
    this.#joined = joined;
    this.#adopt(carrier, inlet);
    this.#beatTimer = setInterval(() => this.#beat(), PING_MS / 5);
  }

  /** Connects to `url` (ws or wss) and joins. @throws PeerlineError */
  static async join(url: URL, join: Omit<Join, "type">, signal?: AbortSignal): Promise<Signaling> {
    const limit = AbortSignal.timeout(JOIN_LIMIT_MS);
    const stop = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    const message: Join = { type: "join", ...join, resumable: true };
    const unreachable = new PeerlineError("server-unreachable", `The server at ${url.host} does not answer.`);
    try {
      const { carrier, inlet, answer } = await enter(url, message, stop);
      if (answer.type === "joined") return new Signaling(url, carrier, inlet, answer, join);
      carrier.close();
      throw answer.type === "error" ? refusal(answer) : new PeerlineError("server", "The server answered something else.");
    } catch (error) {
      if (signal?.aborted === true) throw new PeerlineError("cancelled", "Cancelled.");
      throw limit.aborted ? unreachable : asFailure(error, "server-unreachable");
    }
  }

  /** What the server said on joining, the last time if there were several. */
  get joined(): Joined {
    return this.#joined;
  }

  /** When the server last gave a sign of life, on the clock of `performance.now()`. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Finds out now whether the server is there: without an answer within 5 s it is connected to again. */
  check(): void {
    this.#hurry();
    if (this.#carrier === undefined || this.#answerTimer !== undefined) return;
    const [carrier, askedAt] = [this.#carrier, performance.now()];
    carrier.send(JSON.stringify({ type: "ping" }));
    this.#answerTimer = setTimeout(() => {
      this.#answerTimer = undefined;
      if (this.#carrier !== carrier || this.#heardAt > askedAt) return;
      carrier.close();
      void this.#lost();
    }, ANSWER_LIMIT_MS);
  }

  /**
   * From now on the place is not lost when the server is restarted or cannot be reached for long: the same room is
   * entered again, or made. A `joined` then comes as a message; ids have changed, and what was on its way is lost.
   */
  outliveServer(): void {
    this.#outlives = true;
  }

  /** Whether there is a connection now. What is sent without one goes out with the next one. */
  get open(): boolean {
    return this.#carrier !== undefined;
  }

  /** Whether the place in the room is gone. */
  get over(): boolean {
    return this.#over;
  }

  /** Sends `message`; does nothing once the place is gone. */
  send(message: ClientMessage): void {
    if (this.#over) return;
    if (this.joined.resume === undefined || UNNUMBERED.includes(message.type)) return this.#carrier?.send(JSON.stringify(message));
    if (this.#ledger.full) {
      // Whoever outlives the server does without what cannot be kept for it.
      if (this.#outlives && this.#carrier === undefined) return;
      return this.#end(new PeerlineError("server-unreachable", "The server takes no messages."));
    }
    const text = this.#ledger.number(message);
    this.#carrier?.send(text);
  }

  /** Leaves the room. No event follows. */
  leave(): void {
    if (this.#over) return;
    this.#stop();
    this.#carrier?.send(JSON.stringify({ type: "leave" }));
    this.#carrier?.close();
    this.#carrier = undefined;
  }

  #adopt(carrier: Carrier, inlet: Inlet): void {
    this.#carrier = carrier;
    this.#heardAt = performance.now();
    const mine = (): boolean => this.#carrier === carrier;
    const owner = { message: (text: string) => mine() && this.#receive(text), closed: () => mine() && void this.#lost() };
    // Whoever waits for `join` listens from the next turn on.
    setTimeout(() => inlet.give(owner));
  }

  #receive(text: string): void {
    this.#heardAt = performance.now();
    let message: ServerMessage;
    try {
      message = parseServerMessage(text);
      const arrival = this.#ledger.arrived(message.type === "ack" ? undefined : sequenceOf(text));
      if (arrival === "gap") throw new PeerlineError("server", "The server left a message out.");
      this.#acknowledge();
      if (arrival === "again") return;
      if (message.type === "ack" && !this.#ledger.acknowledged(message.seq)) throw new PeerlineError("server", "The server is confused.");
    } catch (error) {
      this.#broken = asFailure(error, "server");
      this.#carrier?.close();
      return void this.#lost();
    }
    if (message.type === "ack" || message.type === "pong") return;
    if (message.type === "draining") this.#askedToWaitMs = message.reconnectAfterMs;
    if (message.type === "error" && !HARMLESS.includes(message.code)) this.#refusal = message;
    this.emit("message", message);
  }

  #acknowledge(): void {
    const { owes } = this.#ledger;
    if (owes === "nothing") return;
    if (owes === "much") return this.#sendAck();
    this.#ackTimer ??= setTimeout(() => this.#sendAck(), ACK_AFTER_MS);
  }

  #sendAck(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#carrier?.send(JSON.stringify({ type: "ack", seq: this.#ledger.settle() }));
  }

  /** A browser does not show the server's pings; a connection that died without a word would look open for ever. */
  #beat(): void {
    const silent = performance.now() - this.#heardAt;
    if (this.#carrier === undefined || silent < PING_MS) return;
    if (silent < SILENCE_LIMIT_MS) return this.#carrier.send(JSON.stringify({ type: "ping" }));
    this.#carrier.close();
    void this.#lost();
  }

  /** The connection is gone: get the place back, or say why that cannot be. */
  async #lost(): Promise<void> {
    if (this.#carrier === undefined || this.#over) return;
    const { kind } = this.#carrier;
    this.#carrier = undefined;
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#broken !== undefined) return this.#end(this.#broken);
    // Requests hear only from the next server that this one was restarted.
    const passing = this.#outlives ? [...PASSING, "resume-failed"] : PASSING;
    if (this.#refusal !== undefined && !passing.includes(this.#refusal.code)) return this.#end(refusal(this.#refusal));
    const gone = this.#refusal === undefined ? new PeerlineError("server-unreachable", "The connection to the server was lost.") : refusal(this.#refusal);
    this.#refusal = undefined;
    if (this.joined.resume === undefined) return this.#end(gone);
    const start = performance.now();
    const asked = Math.min(this.#askedToWaitMs, RESUME_WINDOW_MS / 2);
    this.#askedToWaitMs = 0;
    let longest = FIRST_WAIT_MS;
    for (;;) {
      const late = performance.now() - start >= RESUME_WINDOW_MS;
      if (late && !this.#outlives) return this.#end(gone);
      const wait = late ? SLOW_WAIT_MS : Math.max(Math.random() * longest, asked - (performance.now() - start));
      longest = Math.min(2 * longest, LONGEST_WAIT_MS);
      await this.#pause(wait, late);
      if (this.#over) return;
      let answer = await this.#comeBack(kind, { resume: this.joined.resume, ...this.#anew(false) });
      // Requests come back to a place or not at all. The other side may have made the room already; if not, it is ours.
      if (this.#outlives && refused(answer, "resume-failed")) answer = await this.#comeBack(kind, this.#anew(false));
      if (this.#outlives && refused(answer, "no-such-room")) answer = await this.#comeBack(kind, this.#anew(true));
      if (this.#over || answer === "back") return;
      if (answer !== "not yet" && (!this.#outlives || answer.code === "taken-over")) return this.#end(refusal(answer));
    }
  }

  /** How to have the room again on a server that has forgotten it. Whoever comes first makes an open one, now as before. */
  #anew(create: boolean): Partial<Join> {
    const { room, limits } = this.joined;
    if (!this.#outlives) return {};
    return this.entry.create === undefined ? { room } : { room, create, capacity: limits.peers };
  }

  async #comeBack(kind: Carrier["kind"], place: Partial<Join>): Promise<Return> {
    const ack = place.resume === undefined ? {} : { ack: this.#ledger.settle() };
    const { token, name } = this.entry;
    const who = { ...(token === undefined ? {} : { token }), ...(name === undefined ? {} : { name }) };
    const join: Join = { ...who, ...place, ...ack, type: "join", resumable: true };
    const stop = AbortSignal.any([AbortSignal.timeout(JOIN_LIMIT_MS), this.#ended.signal]);
    try {
      const { carrier, inlet, answer } = await enter(this.url, join, stop, kind);
      if (!this.#over && this.#outlives && answer.type === "joined" && answer.resume !== undefined) {
        this.#joined = answer;
        this.#ledger = new Ledger();
        this.#adopt(carrier, inlet);
        this.emit("message", answer);
        return "back";
      }
      if (this.#over || answer.type !== "resumed") {
        carrier.close();
        const verdict = answer.type === "error" && !PASSING.includes(answer.code) && answer.code !== "rate-limited";
        return verdict ? answer : "not yet";
      }
      this.#ledger.acknowledged(answer.received);
      this.#adopt(carrier, inlet);
      for (const text of this.#ledger.unacknowledged()) carrier.send(text);
      return "back";
    } catch {
      return "not yet";
    }
  }

  /** `hurried`: a check ends it. */
  #pause(ms: number, hurried: boolean): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#ended.signal.removeEventListener("abort", done);
        this.#hurry = () => undefined;
        resolve();
      };
      if (hurried) this.#hurry = done;
      const timer = setTimeout(done, ms);
      this.#ended.signal.addEventListener("abort", done);
    });
  }

  #stop(): void {
    this.#over = true;
    this.#ended.abort();
    clearTimeout(this.#ackTimer);
    clearTimeout(this.#answerTimer);
    clearInterval(this.#beatTimer);
  }

  #end(error: PeerlineError): void {
    if (this.#over) return;
    this.#stop();
    this.#carrier?.close();
    this.#carrier = undefined;
    this.emit("closed", error);
  }
}

/** A connection, what comes from it, and the server's answer to `join`. */
interface Entered {
  readonly carrier: Carrier;
  readonly inlet: Inlet;
  readonly answer: ServerMessage;
}

/** Connects and sends `join`. What comes behind the answer waits in the inlet. */
async function enter(url: URL, join: Join, stop: AbortSignal, kind?: Carrier["kind"]): Promise<Entered> {
  const inlet = new Inlet();
  const carrier = await connect(url, inlet, kind);
  let off = (): void => undefined;
  try {
    const answer = await new Promise<ServerMessage>((resolve, reject) => {
      const gone = (): void => reject(new PeerlineError("server-unreachable", `The server at ${url.host} does not answer.`));
      if (stop.aborted) return gone();
      stop.addEventListener("abort", gone);
      off = () => stop.removeEventListener("abort", gone);
      const message = (text: string): void => {
        try {
          const answer = parseServerMessage(text);
          if (answer.type !== "joined" && answer.type !== "resumed" && answer.type !== "error") return;
          inlet.give(undefined);
          resolve(answer);
        } catch (error) {
          reject(asFailure(error, "server"));
        }
      };
      inlet.give({ message, closed: gone });
      carrier.send(JSON.stringify(join));
    });
    return { carrier, inlet, answer };
  } catch (error) {
    carrier.close();
    throw error;
  } finally {
    off();
  }
}

function refused(answer: Return, code: string): boolean {
  return typeof answer === "object" && answer.code === code;
}

function refusal({ code, message }: ServerError): PeerlineError {
  const failure = FAILURES[code] ?? "server";
  if (failure === "no-such-room") return new PeerlineError(failure, "Nobody is waiting with this code.");
  if (failure === "code-used") return new PeerlineError(failure, "Somebody else is already using this code.");
  if (failure === "unauthorized") return new PeerlineError(failure, `The server does not let you in: ${message}.`);
  if (code === "resume-failed") return new PeerlineError(failure, "The server was restarted and has forgotten this code.", "Start again on both sides.");
  return new PeerlineError(failure, `The server refused (${code}): ${message}`);
}
