/**
 * How many connections beside the first a sender shall use. Pure: times are milliseconds. More of them help where loss or a long round trip
 * holds the window of one down, and cost where this machine or the link is the limit. Nobody says which it is, so it is
 * tried: twice as many, and if that does not carry a tenth more, back.
 */

/** More must raise the rate by this much to stay. */
const WORTHWHILE = 1.1;
/** Bytes a second above which the machine is the limit, not a window. */
const FAST = 24 * 1024 * 1024;
/** A transfer of less than this stays on the first connection: another one takes longer to come up. */
const SMALL = 8 * 1024 * 1024;
/** What would be over sooner is not worth a trial. */
const WORTH_A_TRIAL_S = 4;
/** From a change to its effect, and how long the effect is measured: ten round trips of 100 ms and more. */
const SETTLE_MS = 1_000;
const MEASURE_MS = 1_500;
/** Connections that do not come up for this long are not waited for. */
const PATIENCE_MS = 5_000;
/** After a trial in vain, the first and the longest time until the next. */
const REST_MS = 4_000;
const LONGEST_REST_MS = 60_000;

type Phase =
  | { readonly at: "opening"; readonly since: number }
  | { readonly at: "waiting"; readonly until: number }
  | { readonly at: "measuring"; readonly since: number; readonly taken: number };

/** Decides that for one transfer. */
export class Scaler {
  #target = 0;
  #phase: Phase;
  /** What there was before a trial. */
  #before: { readonly target: number; readonly rate: number } | undefined;
  #rest = REST_MS;
  readonly #fixed: boolean;

  /** For `total` bytes to a receiver that takes `most` of them; `count` of them and no other number if that is given. */
  constructor(
    now: number,
    private readonly most: number,
    private readonly total: number,
    count?: number,
  ) {
    this.#fixed = count !== undefined || most === 0 || total < SMALL;
    if (count !== undefined) this.#target = Math.min(count, most);
    this.#phase = { at: "waiting", until: now + SETTLE_MS };
  }

  /** How many there shall be, given how many there are, and how many bytes the receiver has taken. */
  target(now: number, active: number, taken: number): number {
    if (this.#fixed) return this.#target;
    const phase = this.#phase;
    switch (phase.at) {
      case "opening":
        if (active >= this.#target) this.#phase = { at: "waiting", until: now + SETTLE_MS };
        else if (now >= phase.since + PATIENCE_MS) {
          // What did not come up is not tried again soon.
          this.#target = active;
          this.#before = undefined;
          this.#wait(now);
        }
        break;
      case "waiting":
        if (now >= phase.until) this.#phase = { at: "measuring", since: now, taken };
        break;
      case "measuring":
        if (now >= phase.since + MEASURE_MS) this.#measured(now, ((taken - phase.taken) * 1000) / (now - phase.since), taken);
    }
    return this.#target;
  }

  #measured(now: number, rate: number, taken: number): void {
    const before = this.#before;
    this.#before = undefined;
    if (before !== undefined && rate < before.rate * WORTHWHILE) {
      this.#target = before.target;
      return this.#wait(now);
    }
    const isWorthATrial = rate < FAST && this.#target < this.most && this.total - taken > rate * WORTH_A_TRIAL_S;
    if (!isWorthATrial) return this.#wait(now);
    this.#before = { target: this.#target, rate };
    // The first connection counts, too.
    this.#target = Math.min(2 * this.#target + 1, this.most);
    this.#phase = { at: "opening", since: now };
  }

  #wait(now: number): void {
    this.#phase = { at: "waiting", until: now + this.#rest };
    this.#rest = Math.min(2 * this.#rest, LONGEST_REST_MS);
  }
}
