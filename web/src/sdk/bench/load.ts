/** The load: made-up messages on connections of their own, and what arrives of them. */
import type { Channel } from "../channel.js";
import { PeerlineError } from "../errors.js";
import type { Session } from "../session.js";
import type { Step } from "./messages.js";

/** Protocol of the channels that carry the load. */
export const LANE_PROTOCOL = "peerline-bench-lane/1";

/** As large as a message may be. Zeros: everything is encrypted, so nothing on the way can make them shorter. */
const BLOCK = new Uint8Array(65_535);

/** The label of one of the channels of `step`. */
export function labelOf({ step }: Step, lane: number): string {
  return `bench/${step}/${lane}`;
}

/** Opens the channels of `step` and adds them to `channels`, which are the caller's to close. @throws PeerlineError if one did not come up */
export async function open(session: Session, step: Step, channels: Channel[]): Promise<void> {
  for (let lane = 0; lane < step.lanes; lane++) channels.push(session.openLane(labelOf(step, lane), LANE_PROTOCOL));
  await Promise.all(channels.map((channel) => channel.ready()));
}

/**
 * Sends on all of `channels` for this long. Returns how much that was. They are to be closed when the other side has counted it, as
 * the end of a channel can overtake what came before it. @throws PeerlineError if one broke
 */
export async function pour(channels: readonly Channel[], millis: number): Promise<number> {
  const until = performance.now() + millis;
  const fill = async (channel: Channel): Promise<number> => {
    let bytes = 0;
    while (performance.now() < until) {
      await channel.ready();
      channel.send(BLOCK);
      bytes += BLOCK.length;
    }
    return bytes;
  };
  const poured = await Promise.all(channels.map(fill));
  return poured.reduce((sum, bytes) => sum + bytes, 0);
}

/** Counts what comes on the channels of one measurement. */
export class Tally {
  #bytes = 0;
  #ended = 0;
  #first: number | undefined;
  #last = 0;
  readonly #channels: Channel[] = [];

  /** `changed` is called when something came, or a channel has closed. */
  constructor(
    private readonly step: Step,
    private readonly changed: () => void,
  ) {}

  /** Takes `channel` if it belongs to the measurement. */
  take(channel: Channel): boolean {
    const awaited = this.#channels.length < this.step.lanes;
    const belongs = Array.from({ length: this.step.lanes }, (_, lane) => labelOf(this.step, lane)).includes(channel.label);
    if (!awaited || !belongs) return false;
    this.#channels.push(channel);
    channel.on("closed", () => {
      this.#ended++;
      this.changed();
    });
    channel.read((data) => {
      this.#last = performance.now();
      this.#first ??= this.#last;
      this.#bytes += typeof data === "string" ? data.length : data.byteLength;
      this.changed();
    });
    return true;
  }

  /** Whether the first channel is there. */
  get begun(): boolean {
    return this.#channels.length > 0;
  }

  /** Whether one of them has closed. */
  get ended(): boolean {
    return this.#ended > 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** From the first message to the last, at least 1. */
  get micros(): number {
    return Math.max(1, Math.round((this.#last - (this.#first ?? this.#last)) * 1000));
  }

  /** Nothing more is counted. */
  stop(): void {
    for (const channel of this.#channels) channel.close();
  }
}

/** Why lanes could not be used, in words for both sides. */
export function wordsOf(error: unknown): string {
  return error instanceof PeerlineError ? error.message : "a connection broke";
}
