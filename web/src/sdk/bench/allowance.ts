/** What a follower lets its leader ask for (docs/protocol.md section 8). Pure. */
import { Malformed } from "../json.js";
import { PACKET } from "../lane.js";
import type { Step } from "./messages.js";

/** The longest that one measurement may send, and all of them together. */
export const LONGEST_MS = 60_000;
const ALTOGETHER_MS = 30 * 60_000;
const MOST_STEPS = 128;
const MOST_LANES = 16;
const LARGEST_PACKET = 16_376;

/** What is left of it. */
export class Allowance {
  #next = 0;
  #left = ALTOGETHER_MS;

  /** Takes a measurement from it. @throws Malformed if it is out of turn, or more than may be asked for */
  admit({ step, lanes, packet, millis }: Step): void {
    if (step !== this.#next || step >= MOST_STEPS) throw new Malformed("a measurement is out of turn");
    if (lanes < 1 || lanes > MOST_LANES) throw new Malformed("it asks for a number of lanes that cannot be");
    if (packet !== 0 && (packet < PACKET || packet > LARGEST_PACKET)) throw new Malformed("it asks for a packet size that cannot be");
    if (millis < 1 || millis > LONGEST_MS || millis > this.#left) throw new Malformed("it asks for a duration that cannot be");
    this.#left -= millis;
    this.#next++;
  }
}
