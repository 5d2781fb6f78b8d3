/** Receiving one transfer (docs/protocol.md section 5): nothing is written before `accept`, nothing is called done before it is verified. */
import { equal, toHex } from "../bytes.js";
import type { Channel, ChannelData } from "../channel.js";
import { Events } from "../events.js";
import { PeerlineError, asFailure } from "../errors.js";
import { Malformed } from "../json.js";
import { MOST_LANES } from "../lanes.js";
import { blockDigest } from "./digest.js";
import { REASON_MS, failureOfCancel, lost } from "./failure.js";
import { type Block, LaneReader } from "./lane.js";
import { Ledger } from "./ledger.js";
import { type Manifest, ManifestReader, parseOffer } from "./manifest.js";
import { type CancelCode, type FromSender, parseFromSender } from "./messages.js";
import type { Receipt } from "./outgoing.js";
import { type Progress, Speedometer } from "./rate.js";
import type { Delivery, Sink } from "./sink.js";

/** Events of an {@link IncomingTransfer}. */
export interface IncomingEvents {
  /** At most ten times a second. */
  progress: Progress;
  /** Everything is verified and in place. */
  done: Receipt & { readonly delivery: Delivery };
  /** It did not work; nothing follows. */
  failed: PeerlineError;
}

/** Protocol 5.1. */
const PROGRESS_MS = 100;
const MOST_RESENDS = 3;
const MOST_RESENT_BLOCKS = 1024;
/** The sender is told after this long, however little came: it gives a lane up of which it hears nothing for 2.5 s. */
const CREDIT_MS = 500;
/** Lanes that one transfer may use in all; a sender opens some dozens on the worst of paths. */
const LANES_IN_ALL = 8192;

type State =
  | { readonly at: "manifest"; readonly reader?: ManifestReader }
  | { readonly at: "offered"; readonly manifest: Manifest }
  | { readonly at: "receiving"; readonly sink: Sink; readonly lane: LaneReader; readonly ledger: Ledger; readonly speed: Speedometer }
  | { readonly at: "over" };

/** Files the other side offers. */
export class IncomingTransfer extends Events<IncomingEvents> {
  #state: State = { at: "manifest" };
  #manifest: Manifest | undefined;
  #claimed: string | undefined;
  #settling = false;
  #reportedAt = 0;
  readonly #resent = new Map<string, number>();
  #accepting = false;
  #reasonDue: ReturnType<typeof setTimeout> | undefined;
  /** Those that are read, by number, and the numbers of all that ever were: each comes once. */
  readonly #lanes = new Map<number, Channel>();
  readonly #numbers = new Set<number>([0]);
  #creditDue: ReturnType<typeof setTimeout> | undefined;

  /** @internal Made by the inbox; `offered` is called once the manifest is whole and valid. */
  constructor(
    private readonly control: Channel,
    lane: Channel,
    private readonly offered: (transfer: IncomingTransfer) => void,
  ) {
    super();
    control.on("closed", () => this.#fail(lost()));
    this.#lanes.set(0, lane);
    // The other side does that when it cancels, and says so on the other channel.
    lane.on("closed", () => {
      if (this.#state.at !== "over" && this.#lanes.has(0)) this.#reasonDue ??= setTimeout(() => this.#fail(lost()), REASON_MS);
    });
    control.read((data) => this.#guard(() => this.#handle(parseFromSender(data))));
    lane.read((data) => this.#guard(() => this.#receive(0, data)));
  }

  /** @internal Another lane, on a connection of its own. */
  add(number: number, channel: Channel): void {
    if (this.#state.at !== "receiving" || this.#numbers.has(number) || this.#numbers.size === LANES_IN_ALL) return channel.close();
    this.#numbers.add(number);
    this.#lanes.set(number, channel);
    channel.on("closed", () => this.#endLane(number));
    channel.read((data) => this.#guard(() => this.#receive(number, data)));
  }

  /** What is offered: every name was checked. */
  get manifest(): Manifest {
    if (this.#manifest === undefined) throw new Error("a transfer is shown only once its manifest is whole");
    return this.#manifest;
  }

  /** Says yes: `sink` gets every block once it is verified. @throws PeerlineError if the sink cannot be opened */
  async accept(sink: Sink): Promise<void> {
    if (this.#state.at !== "offered" || this.#accepting) return;
    const { manifest } = this.#state;
    this.#accepting = true;
    try {
      await sink.open(manifest);
    } catch (error) {
      const failure = asFailure(error, "storage");
      this.#cancel("io", failure);
      await sink.abort().catch(() => undefined);
      throw failure;
    }
    // It may have been cancelled while the sink was opened.
    if (this.#now() === "over") return void (await sink.abort());
    const ledger = new Ledger(manifest);
    const speed = new Speedometer(performance.now(), manifest.bytes, manifest.files);
    const lane = new LaneReader(manifest.blockSize, ledger);
    this.#state = { at: "receiving", sink, ledger, speed, lane };
    this.#say({ type: "accept", window: lane.window, lanes: MOST_LANES });
    this.#settleIfWhole();
  }

  /** Says no. */
  decline(): void {
    this.#fail(new PeerlineError("declined", "You declined these files.", "Nothing was saved on this device."), { type: "decline", reason: "declined" });
  }

  /** Stops; the other side is told and what was written is removed. */
  cancel(): void {
    this.#cancel("cancelled", new PeerlineError("cancelled", "You cancelled this transfer.", "Nothing of it was kept on this device."));
  }

  /** @internal The line is over, and takes the channels with it. */
  end(failure: PeerlineError): void {
    const state = this.#state;
    if (state.at === "over") return;
    this.#state = { at: "over" };
    this.#stop();
    if (state.at === "receiving") state.sink.abort().catch(() => undefined);
    this.emit("failed", failure);
  }

  #handle(message: FromSender): void {
    if (message.type === "cancel") return this.#fail(failureOfCancel(message));
    if (message.type === "offer" || message.type === "entries") return this.#describe(message);
    if (message.type === "lane-lost") return this.#endLane(message.lane);
    if (message.type !== "complete") return;
    if (this.#state.at !== "receiving" || this.#claimed !== undefined) throw new Malformed("complete out of order");
    if (this.manifest.stream && message.size === undefined) throw new Malformed("a stream without an end");
    this.#claimed = message.digest;
    if (message.size !== undefined) this.#state.ledger.end(message.size);
    this.#settleIfWhole();
  }

  #describe({ type, fields }: Extract<FromSender, { type: "offer" | "entries" }>): void {
    const state = this.#state;
    if (state.at !== "manifest") throw new Malformed(`${type} out of order`);
    try {
      if (type === "offer") {
        if (state.reader !== undefined) throw new Malformed("second offer");
        this.#state = { at: "manifest", reader: new ManifestReader(parseOffer(fields)) };
        return;
      }
      if (state.reader === undefined) throw new Malformed("entries before the offer");
      const manifest = state.reader.add(fields);
      if (manifest === undefined) return;
      this.#manifest = manifest;
      this.#state = { at: "offered", manifest };
    } catch (error) {
      const why = error instanceof Malformed ? error.message : "unreadable";
      return this.#cancel("bad-manifest", new PeerlineError("protocol", `The other side offered something that cannot be accepted: ${why}.`));
    }
    this.offered(this);
  }

  #receive(number: number, data: ChannelData): void {
    const state = this.#state;
    if (state.at === "over" || !this.#lanes.has(number)) return;
    if (state.at !== "receiving" || typeof data === "string") throw new Malformed("data out of order");
    for (const block of state.lane.read(number, data)) {
      this.#verify(block).catch((error: unknown) => this.#cancel(...storageFailure(error)));
    }
    // What is no data is taken at once; of short records it may be most of a message.
    this.#credit(state.lane, number);
    this.#creditDue ??= setTimeout(() => this.#creditAll(state.lane), CREDIT_MS);
  }

  /** No more comes on a lane, or what still does is thrown away: the sender sends it again on another. */
  #endLane(number: number): void {
    const state = this.#state;
    const isNew = !this.#numbers.has(number) && this.#numbers.size < LANES_IN_ALL;
    if (state.at !== "receiving" || !(this.#lanes.has(number) || isNew)) return;
    // Its channel may still come, and is not read then.
    this.#numbers.add(number);
    const channel = this.#lanes.get(number);
    this.#lanes.delete(number);
    channel?.close();
    const bytes = state.lane.end(number);
    if (!this.control.open) return;
    this.#say({ type: "lane-ended", lane: number, bytes });
    this.#say({ type: "credit", ...state.lane.total() });
  }

  async #verify(block: Block): Promise<void> {
    const digest = await blockDigest(block.bytes);
    const state = this.#state;
    if (state.at !== "receiving") return;
    if (!equal(digest, block.digest)) {
      state.lane.release(block);
      this.#credit(state.lane);
      return this.#again(block);
    }
    // The sink may keep the bytes until its promise resolves; the ledger counts what is written.
    await state.sink.write(block.file, block.block * this.manifest.blockSize, block.bytes);
    if (this.#now() === "over") return;
    this.#guard(() => state.ledger.add(block.file, block.block, digest, block.bytes.length));
    state.lane.release(block);
    this.#credit(state.lane);
    this.#report();
    this.#settleIfWhole();
  }

  #credit(lane: LaneReader, number?: number): void {
    const credit = lane.credit(number);
    if (credit !== undefined && this.control.open) this.#say({ type: "credit", ...credit });
  }

  #creditAll(lane: LaneReader): void {
    this.#creditDue = undefined;
    for (let credit = lane.overdue(); credit !== undefined; credit = lane.overdue()) {
      if (this.control.open) this.#say({ type: "credit", ...credit });
    }
  }

  #again({ file, block }: Block): void {
    const key = `${file}/${block}`;
    const times = (this.#resent.get(key) ?? 0) + 1;
    if (times > MOST_RESENDS || (times === 1 && this.#resent.size === MOST_RESENT_BLOCKS)) {
      return this.#cancel("bad-block", new PeerlineError("verification", "Data was damaged again and again on its way."));
    }
    this.#resent.set(key, times);
    this.#say({ type: "resend", file, block });
  }

  #report(): void {
    const state = this.#state;
    const now = performance.now();
    if (state.at !== "receiving" || (now - this.#reportedAt < PROGRESS_MS && !state.ledger.whole)) return;
    this.#reportedAt = now;
    const { bytes, files } = state.ledger;
    if (this.control.open) this.#say({ type: "progress", bytes, files });
    this.emit("progress", state.speed.read(now, bytes, files));
  }

  #settleIfWhole(): void {
    const state = this.#state;
    if (state.at !== "receiving" || this.#claimed === undefined || !state.ledger.whole || this.#settling) return;
    this.#settling = true;
    this.#settle(state.sink, state.ledger, this.#claimed).catch((error: unknown) => this.#cancel(...storageFailure(error)));
  }

  async #settle(sink: Sink, ledger: Ledger, claimed: string): Promise<void> {
    const digest = toHex(ledger.digest());
    if (digest !== claimed) {
      return this.#cancel("bad-block", new PeerlineError("verification", "The digest of what arrived is not the one the other side sent."));
    }
    const delivery = await sink.finish();
    if (this.#now() === "over") return;
    const { bytes, files } = ledger;
    if (this.control.open) this.#say({ type: "receipt", digest, bytes, files });
    // The sender closes the channels when it has read the receipt; closing here could overtake it.
    this.#state = { at: "over" };
    this.#stop();
    this.emit("done", { digest, bytes, files, delivery });
  }

  #now(): State["at"] {
    return this.#state.at;
  }

  #guard(step: () => void): void {
    if (this.#state.at === "over") return;
    try {
      step();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#cancel("protocol", new PeerlineError("protocol", `The other side broke the protocol: ${message}.`));
    }
  }

  #cancel(code: CancelCode, failure: PeerlineError): void {
    this.#fail(failure, { type: "cancel", code, message: failure.message });
  }

  /** Ends it; `last` tells the other side, unless it said so itself. */
  #fail(failure: PeerlineError, last?: object): void {
    const state = this.#state;
    if (state.at === "over") return;
    this.#state = { at: "over" };
    this.#stop();
    if (state.at === "receiving") state.sink.abort().catch(() => undefined);
    if (last === undefined) this.control.close();
    else this.control.sendLast(JSON.stringify(last));
    for (const lane of this.#lanes.values()) lane.close();
    this.emit("failed", failure);
  }

  #stop(): void {
    clearTimeout(this.#reasonDue);
    clearTimeout(this.#creditDue);
  }

  #say(message: object): void {
    this.control.send(JSON.stringify(message));
  }
}

function storageFailure(error: unknown): [CancelCode, PeerlineError] {
  const full = error instanceof DOMException && error.name === "QuotaExceededError";
  if (full) return ["no-space", new PeerlineError("storage", "There is not enough space on this device.")];
  return ["io", asFailure(error, "storage")];
}
