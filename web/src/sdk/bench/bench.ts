/** How good a line is: throughput each way and round trips, idle and under load (docs/protocol.md section 8). */
import type { Channel } from "../channel.js";
import { Events } from "../events.js";
import { PeerlineError, asFailure } from "../errors.js";
import { Malformed } from "../json.js";
import { PACKET } from "../lane.js";
import type { Session } from "../session.js";
import { Allowance } from "./allowance.js";
import { LANE_PROTOCOL, Tally, open, pour, wordsOf } from "./load.js";
import type { Message, Report, Side, Step } from "./messages.js";
import { Talk } from "./talk.js";

/** Label and protocol of the channel on which the two talk; the leader opens it. */
export const LABEL = "bench";
export const PROTOCOL = "peerline-bench/1";

/** Events of a {@link Bench}. */
export interface BenchEvents {
  /** A measurement begins. */
  step: Step;
  /** Something was measured, or could not be. */
  report: Report;
  /** Everything was measured. */
  done: readonly Report[];
  /** It ended before. Nothing follows. */
  failed: PeerlineError;
}

/** What a leader measures: `lanes` both ways each, and then one lane in smaller packets. */
const STEP_MS = 2_000;
const LANES = [1, 2, 4] as const;
/** UDP payload of an Ethernet frame over IPv4, and what every path carries. */
const PACKETS = [1_472, PACKET] as const;

/** What one measurement may take besides sending: lanes come up within 15 s, and what is on its way has to arrive. */
const AROUND_MS = 90_000;
/** How long a follower may be asked for nothing. */
const PAUSE_MS = 90_000;
const MOST_REPORTS = 256;
/** Channels that came before the message that tells what they are for. */
const MOST_EARLY = 16;

type Outcome = { readonly packet: number; readonly bytes: number; readonly micros: number } | { readonly reason: string };

/** One measurement of a line; `peer-cli bench` is the other side, or another page. */
export class Bench extends Events<BenchEvents> {
  readonly #talk: Talk;
  readonly #reports: Report[] = [];
  #tally: Tally | undefined;
  #early: Channel[] = [];
  /** Those on which this side sends. */
  #sending: Channel[] = [];
  /** Everything is measured, and the last word is on its way. */
  #complete = false;
  #over = false;

  private constructor(
    private readonly session: Session,
    private readonly channel: Channel,
    /** Which side this is. */
    readonly side: Side,
  ) {
    super();
    this.#talk = new Talk(channel, () => this.#stopSending());
    const work = async (): Promise<void> => {
      await channel.ready();
      if (side === "leader") await this.#lead();
      else await this.#follow();
    };
    work().then(() => this.#finish(), (error: unknown) => this.#finish(failureOf(error)));
  }

  /** @internal Use `Line.measure`. */
  static start(session: Session, channel: Channel, side: Side): Bench {
    return new Bench(session, channel, side);
  }

  /** Stops; the other side sees it as a closed channel. */
  stop(): void {
    this.end(stopped());
  }

  /** @internal The line is over, and takes the channels with it. */
  end(failure: PeerlineError): void {
    // The line's word for it is about transfers.
    const why = failure.code === "cancelled" ? stopped() : failure;
    this.#talk.end(why);
    // At once: whoever hears that the line is over is to know already how this ended.
    this.#finish(this.#complete ? undefined : why);
  }

  /** @internal Takes `channel` if it carries a load. */
  take(channel: Channel): boolean {
    if (channel.protocol !== LANE_PROTOCOL) return false;
    // What it is for is said on another connection, and may come later.
    if (this.#over || this.#early.length === MOST_EARLY) channel.close();
    else if (this.#tally?.take(channel) !== true) this.#early.push(channel);
    this.#talk.wake();
    return true;
  }

  async #lead(): Promise<void> {
    const talk = this.#talk;
    talk.ping();
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    await talk.settle();
    const latency = talk.pings.latency();
    if (latency !== undefined) this.#report({ what: "idle", latency });
    let [next, largest] = [0, 0];
    const bothWays = async (lanes: number, packet: number): Promise<void> => {
      for (const sender of ["leader", "follower"] as const) {
        const report = await this.#measure({ step: next++, sender, lanes, packet, millis: STEP_MS });
        if (report.what === "rate") largest = Math.max(largest, report.packet);
        this.#report(report);
      }
    };
    for (const lanes of LANES) await bothWays(lanes, 0);
    for (const packet of PACKETS.filter((packet) => packet < largest)) await bothWays(1, packet);
    this.#complete = true;
    // The follower closes the channel, or the line, when it has read that.
    await talk.sayLast({ type: "end" });
  }

  async #measure(step: Step): Promise<Report> {
    const talk = this.#talk;
    talk.say({ type: "run", ...step });
    const outcome = await this.#take(step);
    await talk.settle();
    const latency = talk.pings.latency();
    const { sender, lanes, packet } = step;
    if ("reason" in outcome) return { what: "failed", sender, lanes, packet, reason: outcome.reason };
    return { what: "rate", sender, lanes, ...outcome, latency };
  }

  #report(report: Report): void {
    this.#talk.say({ type: "report", report });
    this.#tell(report);
  }

  async #follow(): Promise<void> {
    const allowance = new Allowance();
    for (;;) {
      const message = await this.#talk.heard(PAUSE_MS);
      switch (message.type) {
        case "run":
          allowance.admit(message);
          await this.#take(message);
          break;
        case "report":
          if (this.#reports.length === MOST_REPORTS) throw new Malformed("it reports too much");
          this.#tell(message.report);
          break;
        case "end":
          return;
        default:
          throw new Malformed("it spoke out of turn");
      }
    }
  }

  #tell(report: Report): void {
    this.#reports.push(report);
    this.emit("report", report);
  }

  /** Takes part in a measurement. */
  async #take(step: Step): Promise<Outcome> {
    this.emit("step", step);
    const outcome = step.sender === this.side ? await this.#send(step) : await this.#receive(step);
    if (typeof outcome !== "string") return outcome;
    // What went wrong is here, and the other side waits for its turn.
    this.#talk.pings.stop();
    this.#talk.say({ type: "failed", step: step.step, reason: outcome });
    return { reason: outcome };
  }

  /** A text is why it did not work here. */
  async #send(step: Step): Promise<Outcome | string> {
    const talk = this.#talk;
    try {
      await open(this.session, step, this.#sending);
      if (this.side === "leader") talk.ping();
      const bytes = await pour(this.#sending, step.millis);
      talk.pings.stop();
      talk.say({ type: "sent", step: step.step, bytes, packet: PACKET });
      const answer = await talk.heard(AROUND_MS);
      if (answer.type !== "received" || answer.step !== step.step || answer.bytes !== bytes) return refusal(step, answer);
      return { packet: PACKET, bytes, micros: Math.max(1, answer.micros) };
    } catch (error) {
      if (error instanceof Malformed || !this.channel.open) throw error;
      // A lane broke; the other side may have said why.
      return talk.has ? refusal(step, await talk.heard(0)) : wordsOf(error);
    } finally {
      this.#stopSending();
    }
  }

  #stopSending(): void {
    for (const channel of this.#sending.splice(0)) channel.close();
  }

  /** A text is why it did not work here. */
  async #receive(step: Step): Promise<Outcome | string> {
    const talk = this.#talk;
    const tally = new Tally(step, () => talk.wake());
    this.#tally = tally;
    for (const channel of this.#early.splice(0)) if (!tally.take(channel)) channel.close();
    try {
      if (this.side === "leader") {
        await talk.until(() => tally.begun || talk.has, AROUND_MS);
        if (tally.begun) talk.ping();
      }
      const sent = await talk.heard(AROUND_MS + step.millis);
      talk.pings.stop();
      if (sent.type !== "sent" || sent.step !== step.step) return refusal(step, sent);
      await talk.until(() => tally.bytes >= sent.bytes || tally.ended || talk.has, AROUND_MS);
      if (talk.has) return refusal(step, await talk.heard(0));
      const { bytes, micros } = tally;
      if (bytes !== sent.bytes) return "a lane lost what was sent";
      talk.say({ type: "received", step: step.step, bytes, micros });
      return { packet: sent.packet, bytes, micros };
    } finally {
      this.#tally = undefined;
      tally.stop();
    }
  }

  #finish(failure?: PeerlineError): void {
    if (this.#over) return;
    this.#over = true;
    for (const channel of this.#early.splice(0)) channel.close();
    this.channel.close();
    if (failure === undefined) this.emit("done", this.#reports);
    else this.emit("failed", failure);
  }
}

/** What else may come while something is measured. @throws Malformed */
function refusal({ step }: Step, message: Message): Outcome {
  if (message.type === "failed" && message.step === step) return { reason: message.reason };
  throw new Malformed("it spoke out of turn");
}

function stopped(): PeerlineError {
  return new PeerlineError("cancelled", "The measurement was stopped.");
}

function failureOf(error: unknown): PeerlineError {
  if (error instanceof Malformed) return new PeerlineError("protocol", `The other side broke the protocol: ${error.message}.`);
  return asFailure(error, "protocol");
}
