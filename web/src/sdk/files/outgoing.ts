/** Sending one transfer (docs/protocol.md section 5): offer, blocks as the network takes them, done with the receipt. */
import { random, toHex } from "../bytes.js";
import type { Channel, ChannelData } from "../channel.js";
import { Events } from "../events.js";
import { PeerlineError, asFailure } from "../errors.js";
import { Malformed } from "../json.js";
import type { Session } from "../session.js";
import { blockDigest } from "./digest.js";
import { Comparison, type KeptBlock } from "./kept.js";
import { type Block, type Place } from "./lane.js";
import { LANE_PROTOCOL, LanesOut } from "./lanes-out.js";
import { Ledger } from "./ledger.js";
import { type Manifest, MOST_ENTRIES, type Entry, blocksOf } from "./manifest.js";
import { type CancelCode, parseFromReceiver } from "./messages.js";
import { type Progress, Speedometer } from "./rate.js";
import type { SourceEntry } from "./source.js";
import { REASON_MS, failureOfCancel, lost, reasonGiven } from "./failure.js";

/** Events of an {@link OutgoingTransfer}. */
export interface OutgoingEvents {
  /** The other side said yes. */
  accepted: undefined;
  /** As the receiver reports what it verified. */
  progress: Progress;
  /** The receiver has everything, verified and in place. */
  done: Receipt;
  /** It did not work; nothing follows. */
  failed: PeerlineError;
}

/** Proof that everything arrived. */
export interface Receipt {
  /** Digest of the whole transfer in hex, equal on both sides. */
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
}

const BLOCK_SIZE = 1024 * 1024;
/** Room for the brackets around entries in a message of 65,535 bytes. */
const ENTRIES_BYTES = 60_000;
/** Read ahead of the network, so that reading and hashing cost no time: this many bytes, or this many small files. */
const AHEAD_BYTES = 4 * 1024 * 1024;
const AHEAD_BLOCKS = 32;
/** Sent but not yet verified by a receiver that reports progress: what a slow disk there may have to hold in memory. */
const MOST_UNVERIFIED = 64 * 1024 * 1024;
/** Protocol 5.1. */
const MOST_RESENDS = 3;
const MOST_RESENT_BLOCKS = 1024;

/** How files are sent. All fields are optional. */
export interface SendOptions {
  /** What the other side is shown instead of the names of the files. */
  readonly title?: string;
  /** How many connections to open beside the first, as far as the other side takes them; as many as pay unless given. */
  readonly lanes?: number;
}

/** Files on their way to the other side. */
export class OutgoingTransfer extends Events<OutgoingEvents> {
  /** What was offered. */
  readonly manifest: Manifest;
  readonly #control: Channel;
  #state: "offered" | "sending" | "over" = "offered";
  #ledger: Ledger;
  #speed: Speedometer;
  #sent = 0;
  #verified: number | undefined;
  readonly #lanes: LanesOut;
  #resends: Place[] = [];
  #resent = new Map<string, number>();
  #wake: (() => void) | undefined;
  #reasonDue: ReturnType<typeof setTimeout> | undefined;
  /** While the receiver says what it has of an earlier attempt; `done` when it has been answered. */
  #comparison: Comparison | "done" | undefined;

  private constructor(
    session: Session,
    id: string,
    private readonly sources: readonly SourceEntry[],
    { title = titleOf(sources), lanes }: SendOptions,
  ) {
    super();
    this.manifest = manifestOf(sources, title);
    this.#ledger = new Ledger(this.manifest);
    this.#speed = new Speedometer(0, 0, 0);
    const control = session.open(`files/${id}`, { protocol: "peerline-files/1" });
    const first = session.open(`lane/${id}/0`, { protocol: LANE_PROTOCOL });
    this.#control = control;
    this.#lanes = new LanesOut({
      session,
      id,
      first,
      count: lanes,
      say: (message) => {
        if (control.open) this.#say(message);
      },
      lost: (places) => {
        for (const place of places) this.#again(place);
        this.#wake?.();
      },
      failed: (error) => this.#stop(error),
    });
    control.read((data) => this.#receive(data));
    control.on("closed", () => this.#fail(lost()));
    first.on("closed", () => this.#awaitReason());
    this.#run(() => this.#offer());
  }

  /** @internal Use `Line.send`. */
  static start(session: Session, sources: readonly SourceEntry[], options: SendOptions = {}): OutgoingTransfer {
    if (sources.length > MOST_ENTRIES) throw new PeerlineError("unsupported", `More than ${MOST_ENTRIES} files cannot be sent at once.`);
    return new OutgoingTransfer(session, toHex(random(8)), sources, options);
  }

  /** Stops; the other side is told. */
  cancel(): void {
    this.#cancel("cancelled", new PeerlineError("cancelled", "You cancelled this transfer."));
  }

  /** @internal The line is over, and takes the channels with it. */
  end(failure: PeerlineError): void {
    if (this.#state === "over") return;
    this.#state = "over";
    clearTimeout(this.#reasonDue);
    this.#lanes.end(false);
    this.#wake?.();
    this.emit("failed", failure);
  }

  async #offer(): Promise<void> {
    const { title, files, directories, bytes, entries, blockSize } = this.manifest;
    await this.#control.ready();
    this.#say({ type: "offer", version: 1, title, files, directories, bytes, entries: entries.length, blockSize, resume: true });
    for (const message of entryMessages(entries)) {
      await this.#control.ready();
      this.#control.send(message);
    }
  }

  async #send(): Promise<void> {
    for await (const block of this.#read(this.#missing())) {
      await this.#sendAgain();
      while (!this.#hasRoom(block)) {
        await this.#woken();
        await this.#sendAgain();
      }
      if (this.#state === "over") return;
      await this.#push(block);
      this.#ledger.add(block.file, block.block, block.digest);
    }
    await this.#lanes.flush();
    if (this.#now() === "over") return;
    this.#say({ type: "complete", digest: toHex(this.#ledger.digest()) });
    // Until the receipt: whatever the receiver asks for again.
    for (;;) {
      const place = this.#resends.shift() ?? (await this.#nextResend());
      if (place === undefined) return;
      await this.#push(await this.#load(place));
      await this.#lanes.flush();
    }
  }

  async #push(block: Block): Promise<void> {
    await this.#lanes.push(block);
    this.#sent += block.bytes.length;
  }

  /** As it is by now: whoever awaited something cannot rely on what it was before. */
  #now(): "offered" | "sending" | "over" {
    return this.#state;
  }

  /** What the receiver does not have yet. */
  *#missing(): Generator<Place> {
    for (const place of places(this.manifest)) {
      if (!this.#ledger.has(place.file, place.block)) yield place;
    }
  }

  /** Blocks in order, a few of them read and hashed ahead. */
  async *#read(places: Iterable<Place>): AsyncGenerator<Block> {
    const ahead: { length: number; block: Promise<Block> }[] = [];
    let bytes = 0;
    for (const place of places) {
      const length = this.#ledger.blockLength(place.file, place.block) ?? 0;
      const block = this.#load(place);
      // Whoever awaits it gets the failure; until then it must not count as unhandled.
      block.catch(() => undefined);
      ahead.push({ length, block });
      bytes += length;
      while (bytes > AHEAD_BYTES || ahead.length > AHEAD_BLOCKS) {
        const first = ahead.shift();
        if (first === undefined) break;
        yield await first.block;
        bytes -= first.length;
      }
    }
    for (const { block } of ahead) yield await block;
  }

  async #load({ file, block }: Place): Promise<Block> {
    const source = this.sources[file];
    const length = this.#ledger.blockLength(file, block);
    if (source?.kind !== "file" || length === undefined) throw new Malformed("no such block");
    const start = block * BLOCK_SIZE;
    let buffer: ArrayBuffer;
    try {
      buffer = await source.file.slice(start, start + length).arrayBuffer();
    } catch {
      throw new PeerlineError("source-changed", `${source.path} changed or vanished while it was sent.`);
    }
    if (buffer.byteLength !== length) throw new PeerlineError("source-changed", `${source.path} changed while it was sent.`);
    const bytes = new Uint8Array(buffer);
    return { file, block, bytes, digest: await blockDigest(bytes) };
  }

  /** What is asked for again, or was on a lane that broke. */
  async #sendAgain(): Promise<void> {
    for (let place = this.#resends.shift(); place !== undefined && this.#state === "sending"; place = this.#resends.shift()) {
      await this.#push(await this.#load(place));
    }
  }

  #hasRoom(block: Block): boolean {
    if (this.#state !== "sending") return true;
    if (this.#lanes.isTooFar(block)) return false;
    return this.#verified === undefined || this.#sent + block.bytes.length - this.#verified <= MOST_UNVERIFIED;
  }

  async #nextResend(): Promise<Place | undefined> {
    while (this.#state === "sending" && this.#resends.length === 0) await this.#woken();
    return this.#state === "over" ? undefined : this.#resends.shift();
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #receive(data: ChannelData): void {
    if (this.#state === "over") return;
    try {
      this.#handle(parseFromReceiver(data));
    } catch (error) {
      this.#stop(error);
    }
    this.#wake?.();
  }

  #handle(message: ReturnType<typeof parseFromReceiver>): void {
    switch (message.type) {
      case "accept":
        if (this.#state !== "offered" || this.#comparison instanceof Comparison) throw new Malformed("accepted out of turn");
        this.#state = "sending";
        this.#sent = this.#ledger.bytes;
        this.#lanes.start(this.manifest.bytes - this.#sent, message.window, message.lanes);
        this.#speed = new Speedometer(performance.now(), this.manifest.bytes, this.manifest.files, this.#sent);
        this.emit("accepted", undefined);
        return this.#run(() => this.#send());
      case "have":
        return this.#have(message.blocks, message.last);
      case "decline":
        return this.#fail(new PeerlineError("declined", `The other side declined these files.${reasonGiven(message.reason)}`));
      case "progress":
        if (this.#state !== "sending" || message.bytes > this.manifest.bytes) throw new Malformed("progress out of range");
        this.#verified = message.bytes;
        return this.emit("progress", this.#speed.read(performance.now(), message.bytes, Math.min(message.files, this.manifest.files)));
      case "credit":
        return this.#lanes.credited(message.bytes, message.lane, message.laneBytes);
      case "lane-ended":
        return this.#lanes.ended(message.lane, message.bytes);
      case "resend":
        return this.#resend(message);
      case "receipt":
        return this.#settle(message);
      case "cancel":
        return this.#fail(failureOfCancel(message));
      case "unknown":
        return;
    }
  }

  #have(blocks: readonly KeptBlock[], last: boolean): void {
    if (this.#state !== "offered" || this.#comparison === "done") throw new Malformed("it has something out of turn");
    const comparison = this.#comparison ?? new Comparison(
      (file, block) => this.#ledger.blockLength(file, block) !== undefined,
      async (file, block) => (await this.#load({ file, block })).digest,
      ({ file, block, digest }) => this.#ledger.add(file, block, digest),
    );
    this.#comparison = comparison;
    comparison.add(blocks);
    if (!last) return;
    this.#run(async () => {
      for (const answer of await comparison.answer()) {
        if (this.#state === "over") return;
        await this.#control.ready();
        this.#say(answer);
      }
      this.#comparison = "done";
    });
  }

  #resend({ file, block }: Place): void {
    const key = `${file}/${block}`;
    const times = (this.#resent.get(key) ?? 0) + 1;
    if (this.#state !== "sending" || !this.#ledger.has(file, block) || times > MOST_RESENDS || this.#resent.size > MOST_RESENT_BLOCKS) throw new Malformed("resend out of range");
    this.#resent.set(key, times);
    this.#again({ file, block });
  }

  /** It comes before blocks that were not sent yet: the other side may hold those back. */
  #again(place: Place): void {
    this.#sent -= this.#ledger.blockLength(place.file, place.block) ?? 0;
    this.#resends.push(place);
  }

  #settle({ digest, bytes, files }: Receipt): void {
    if (this.#state !== "sending" || !this.#ledger.whole || digest !== toHex(this.#ledger.digest())) {
      return this.#cancel("protocol", new PeerlineError("verification", "The other side's receipt does not match what was sent."));
    }
    this.#over();
    this.emit("progress", this.#speed.read(performance.now(), this.manifest.bytes, this.manifest.files));
    this.emit("done", { digest, bytes, files });
  }

  #run(work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#stop(error));
  }

  #stop(error: unknown): void {
    if (error instanceof Malformed) return this.#cancel("protocol", new PeerlineError("protocol", error.message));
    const failure = asFailure(error, "protocol");
    if (failure.code === "peer-gone" && this.#control.open) return this.#awaitReason();
    this.#cancel(failure.code === "source-changed" ? "source-changed" : "protocol", failure);
  }

  /** The lane closed. The other side does that when it declines or cancels, and says so on the other channel. */
  #awaitReason(): void {
    if (this.#state !== "over") this.#reasonDue ??= setTimeout(() => this.#fail(lost()), REASON_MS);
  }

  #cancel(code: CancelCode, failure: PeerlineError): void {
    this.#fail(failure, { type: "cancel", code, message: failure.message });
  }

  /** Ends it; `last` tells the other side, unless it said so itself. */
  #fail(failure: PeerlineError, last?: object): void {
    if (this.#state === "over") return;
    this.#over(last);
    this.emit("failed", failure);
  }

  #over(last?: object): void {
    this.#state = "over";
    clearTimeout(this.#reasonDue);
    if (last === undefined) this.#control.close();
    else this.#control.sendLast(JSON.stringify(last));
    this.#lanes.end();
    this.#wake?.();
  }

  #say(message: object): void {
    this.#control.send(JSON.stringify(message));
  }
}

function titleOf(sources: readonly SourceEntry[]): string {
  const tops = new Set(sources.map(({ path }) => path.split("/", 1)[0] ?? ""));
  const [first = ""] = tops;
  return tops.size === 1 ? first : `${first} and ${tops.size - 1} more`;
}

function manifestOf(sources: readonly SourceEntry[], title: string): Manifest {
  const entries = sources.map((source): Entry => {
    const { kind, path } = source;
    return kind === "directory" ? { kind, path } : { kind, path, size: source.file.size, mtime: source.file.lastModified };
  });
  const files = entries.filter(({ kind }) => kind === "file").length;
  const bytes = entries.reduce((total, entry) => total + (entry.kind === "file" ? entry.size : 0), 0);
  return { title, files, directories: entries.length - files, bytes, blockSize: BLOCK_SIZE, entries };
}

function* places({ entries, blockSize }: Manifest): Generator<Place> {
  for (const [file, entry] of entries.entries()) {
    const blocks = entry.kind === "file" ? blocksOf(entry.size, blockSize) : 0;
    for (let block = 0; block < blocks; block++) yield { file, block };
  }
}

/** The `entries` messages, each short enough for one data channel message. */
function* entryMessages(entries: readonly Entry[]): Generator<string> {
  const encoder = new TextEncoder();
  let from = 0;
  let part: string[] = [];
  let bytes = 0;
  for (const [index, entry] of entries.entries()) {
    const json = JSON.stringify(entry);
    const length = encoder.encode(json).length + 1;
    if (bytes + length > ENTRIES_BYTES) {
      yield `{"type":"entries","from":${from},"entries":[${part.join()}]}`;
      [from, part, bytes] = [index, [], 0];
    }
    part.push(json);
    bytes += length;
  }
  yield `{"type":"entries","from":${from},"entries":[${part.join()}]}`;
}
