/** A pipe: bytes in order both ways, each of which ends by itself (docs/protocol.md 9.3). */
import type { Channel, ChannelData } from "../channel.js";
import { PeerlineError, asFailure } from "../errors.js";
import { Events } from "../events.js";
import { Malformed } from "../json.js";
import type { Role } from "../keys.js";
import { CANCELLED, FAILED, REFUSED, failureOf, stopped } from "./failures.js";
import { type Frame, MAX_DATA, readFrames, writeFrame } from "./frames.js";
import { Incoming, Outgoing } from "./halves.js";

/** Label and protocol of the channel. */
export const LABEL = "tunnel";
export const PROTOCOL = "peerline-tunnel/1";

/** Events of a {@link Pipe}. */
export interface PipeEvents {
  /** Both directions have ended, and each side has said that it has everything. */
  done: undefined;
  /** It ended before. Nothing follows. */
  failed: PeerlineError;
}

const TARGET = "pipe";
/** The guest's first stream, which is the pipe. */
const FIRST = 0;
/** How long the other side may take to begin. It does so as soon as it is connected. */
const BEGIN_MS = 30_000;
/** How long the other side's last word may take: it may have to wait for an interrupted line, which gives up after 120 s. */
const LAST_WORD_MS = 150_000;
/** Streams that are no pipe: one that opens more does not listen. */
const MOST_REFUSALS = 256;

/** A frame of the pipe's own stream. */
type Body = Frame extends infer One ? (One extends Frame ? Omit<One, "stream"> : never) : never;

/** How far a pipe is. */
type State =
  /** Until the two know of the stream. */
  | { readonly at: "beginning" }
  | { readonly at: "open" }
  /** Everything is where it belongs; the last word of the other side is missing. */
  | { readonly at: "complete" }
  | { readonly at: "done" }
  | { readonly at: "failed"; readonly error: PeerlineError };

/**
 * One end of a pipe; `peer-cli pipe` is the other one, or a pipe of another page.
 *
 * ```js
 * line.on("connected", async () => {
 *   const pipe = line.pipe();
 *   new Blob(["hello\n"]).stream().pipeTo(pipe.writable); // ends our direction, and resolves when all of it has arrived
 *   await pipe.readable.pipeTo(file);
 *   pipe.take(); // now the other side may say that it is done
 *   await pipe.finished;
 *   line.close();
 * });
 * ```
 *
 * Neither direction looks ended when it only broke off: reading and writing then fail with the reason.
 */
export class Pipe extends Events<PipeEvents> {
  /** What comes, in pieces of up to 256 KiB. The other side may be 2 MiB ahead of what is read. Cancelling it ends both directions. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * What goes. A write resolves when the network has it, and waits while the other side reads nothing; `close` resolves
   * when the other side has written everything to where it belongs. Aborting it ends both directions.
   */
  readonly writable: WritableStream<ArrayBuffer | ArrayBufferView<ArrayBuffer>>;
  /** Resolves with `done`, rejects with what `failed` says. */
  readonly finished: Promise<void>;
  #state: State = { at: "beginning" };
  #reading: ReadableStreamDefaultController | undefined;
  #writing: WritableStreamDefaultController | undefined;
  readonly #outgoing = new Outgoing();
  readonly #incoming = new Incoming();
  /** The stream that is the pipe; a host hears of it. */
  #stream: number | undefined;
  /** The lowest number that the next stream of the other side may have. */
  #expected: number;
  #refusals = 0;
  #waiting: (() => void)[] = [];
  #limit: ReturnType<typeof setTimeout> | undefined;

  /** @internal Pages use `Line.pipe`. */
  constructor(
    private readonly channel: Channel,
    private readonly role: Role,
  ) {
    super();
    [this.#stream, this.#expected] = role === "guest" ? [FIRST, FIRST + 1] : [undefined, FIRST];
    this.readable = new ReadableStream(
      {
        start: (controller) => void (this.#reading = controller),
        pull: (controller) => this.#pull(controller),
        cancel: (reason: unknown) => this.stop(reason),
      },
      // Only what is asked for makes room for more.
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream({
      start: (controller) => {
        this.#writing = controller;
        controller.signal.addEventListener("abort", () => {
          // It errors by itself.
          this.#writing = undefined;
          this.stop(controller.signal.reason);
        });
      },
      write: (data) => this.#write(data),
      close: () => this.#end(),
    });
    this.finished = new Promise((resolve, reject) => {
      this.on("done", resolve);
      this.on("failed", reject);
    });
    // Whoever listens to the events need not look at this.
    this.finished.catch(() => undefined);
    this.#limit = setTimeout(() => this.#fail(new PeerlineError("timeout", "The other side is connected but takes no part in the pipe.")), BEGIN_MS);
    channel.on("closed", () => this.#closed());
    // One that is closed already says so no more.
    channel.ready().then(() => this.#open(), () => this.#closed());
    // Whoever made it gets to listen before the first event.
    queueMicrotask(() => channel.read((data) => this.#receive(data)));
  }

  /** Bytes that were sent. */
  get sent(): number {
    return this.#outgoing.sent;
  }

  /** Bytes that were read. */
  get received(): number {
    return this.#incoming.read;
  }

  /**
   * Tells the other side that everything that came, to the end of `readable`, is where it belongs. It counts on that:
   * `peer-cli pipe` exits with 0 only then. @throws Error before the end was read
   */
  take(): void {
    if (this.#state.at === "failed" || !this.#incoming.take()) return;
    this.#send({ kind: "taken" });
    this.#settle();
  }

  /**
   * Ends both directions before they are done, and tells the other side: that somebody here wants it so, or, with a
   * `reason`, that something failed. Does nothing once the pipe is over.
   */
  stop(reason?: unknown): void {
    if (this.#state.at !== "beginning" && this.#state.at !== "open") return;
    const wanted = reason === undefined || (reason instanceof PeerlineError && reason.code === "cancelled") || (reason instanceof DOMException && reason.name === "AbortError");
    const [code, words] = wanted ? [CANCELLED, "it was stopped"] : [FAILED, "it cannot be read or written there"];
    this.#send({ kind: "reset", code, reason: words });
    // There is nothing to reset yet.
    if (this.#stream === undefined || !this.channel.open) this.channel.close();
    this.#finish(wanted ? stopped() : asFailure(reason, "storage"));
  }

  /** The line has ended. @internal */
  end(failure: PeerlineError): void {
    this.#finish(failure.code === "cancelled" ? stopped() : failure);
  }

  // --- Reading and writing -----------------------------------------------------------------------------------------

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    for (;;) {
      const bytes = this.#incoming.next();
      if (bytes !== undefined) {
        const total = this.#incoming.grant();
        if (total !== undefined) this.#send({ kind: "grant", total });
        return controller.enqueue(bytes);
      }
      // What was said before the end is good all the same.
      if (this.#incoming.over) return controller.close();
      if (this.#state.at === "failed") throw this.#state.error;
      await this.#change();
    }
  }

  async #write(data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): Promise<void> {
    const bytes = bytesOf(data);
    if (bytes === undefined) {
      // Half of what was meant must not look like the whole.
      const error = new TypeError("A pipe takes buffers and views of them: encode text, and read files as a stream.");
      this.stop(error);
      throw error;
    }
    for (let at = 0; at < bytes.length; ) {
      await this.#ready(() => this.#outgoing.credit > 0);
      const length = Math.min(bytes.length - at, this.#outgoing.credit, MAX_DATA);
      this.#send({ kind: "data", bytes: bytes.subarray(at, at + length) });
      this.#outgoing.send(length);
      at += length;
    }
  }

  async #end(): Promise<void> {
    await this.#ready(() => true);
    this.#send({ kind: "end", total: this.#outgoing.end() });
    await this.#until(() => this.#outgoing.taken);
  }

  /** Until something may be sent: the stream is there, `may` says so, and the channel's queue is short. */
  async #ready(may: () => boolean): Promise<void> {
    // A guest may send before the other side has accepted.
    await this.#until(() => (this.role === "guest" || this.#state.at !== "beginning") && may());
    let short = false;
    const queue = this.channel.ready().then(
      () => (short = true),
      // It has failed by then.
      () => this.#closed(),
    );
    // Closing a connection from here need not tell its channels.
    while (!short) {
      if (this.#state.at === "failed") throw this.#state.error;
      await Promise.race([queue, this.#change()]);
    }
    if (this.#state.at === "failed") throw this.#state.error;
  }

  async #until(is: () => boolean): Promise<void> {
    while (!is()) {
      if (this.#state.at === "failed") throw this.#state.error;
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  // --- The other side ------------------------------------------------------------------------------------------------

  #receive(data: ChannelData): void {
    if (this.#state.at === "failed" || this.#state.at === "done") return;
    try {
      for (const frame of readFrames(data)) this.#handle(frame);
      this.#settle();
    } catch (error) {
      this.#fail(new PeerlineError("protocol", `The other side broke the protocol: ${asFailure(error, "protocol").message}.`));
    }
    this.#wake();
  }

  #handle(frame: Frame): void {
    const ours = frame.stream % 2 === (this.role === "guest" ? 0 : 1);
    if (frame.kind === "open") return this.#opened(frame.stream, ours, frame.target);
    if (frame.stream !== this.#stream) {
      // It may not know yet that it was refused.
      if (!ours && frame.stream < this.#expected) return;
      throw new Malformed("it spoke of a stream that was never opened");
    }
    switch (frame.kind) {
      case "accept":
        if (this.role === "host" || this.#state.at !== "beginning") throw new Malformed("it accepted a stream that is open");
        return this.#begin();
      case "data":
        return this.#incoming.data(frame.bytes);
      case "grant":
        return this.#outgoing.granted(frame.total);
      case "end":
        return this.#incoming.ended(frame.total);
      case "taken":
        return this.#outgoing.take();
      case "reset":
        return this.#finish(failureOf(frame.code, frame.reason));
    }
  }

  #opened(stream: number, ours: boolean, target: string): void {
    if (ours || stream < this.#expected) throw new Malformed("it used the number of another stream");
    this.#expected = stream + 2;
    if (this.#stream === undefined && target === TARGET) {
      this.#stream = stream;
      this.#send({ kind: "accept" });
      return this.#begin();
    }
    if (++this.#refusals > MOST_REFUSALS) throw new Malformed("it opens streams without end");
    this.#put({ kind: "reset", stream, code: REFUSED, reason: "this is a pipe" });
  }

  #open(): void {
    if (this.role === "guest" && this.#state.at === "beginning") this.#send({ kind: "open", target: TARGET });
  }

  #begin(): void {
    clearTimeout(this.#limit);
    this.#state = { at: "open" };
  }

  /** Says it of the pipe, if the two know of it. */
  #send(body: Body): void {
    if (this.#stream !== undefined) this.#put({ ...body, stream: this.#stream });
  }

  #put(frame: Frame): void {
    // One that is closed says so itself.
    if (this.channel.open) this.channel.send(writeFrame(frame));
  }

  // --- The end -------------------------------------------------------------------------------------------------------

  /** Both directions have ended: the host closes the channel, and the guest waits for that, so that every last word arrives. */
  #settle(): void {
    if (this.#state.at !== "open" || !this.#outgoing.taken || !this.#incoming.taken) return;
    this.#state = { at: "complete" };
    if (this.role === "guest") {
      this.#limit = setTimeout(() => this.#finish(), LAST_WORD_MS);
      return;
    }
    this.channel.close();
    this.#finish();
  }

  /** The other side cannot be understood. */
  #fail(error: PeerlineError): void {
    this.#finish(error);
    this.channel.close();
  }

  #closed(): void {
    this.#finish(new PeerlineError("peer-gone", "The connection was lost before the pipe was done."));
  }

  /** The first reason counts; there is none once everything is where it belongs. */
  #finish(error?: PeerlineError): void {
    if (this.#state.at === "failed" || this.#state.at === "done") return;
    clearTimeout(this.#limit);
    const failure = this.#state.at === "complete" ? undefined : error;
    this.#state = failure === undefined ? { at: "done" } : { at: "failed", error: failure };
    this.#wake();
    if (failure === undefined) return this.emit("done", undefined);
    // Whoever is idle hears of it, too; what came before is read first.
    if (this.#incoming.empty && !this.#incoming.over) this.#reading?.error(failure);
    this.#writing?.error(failure);
    this.emit("failed", failure);
  }
}

/** Undefined for what is none, as plain JavaScript may give. */
function bytesOf(data: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}
