/** Speed and time left from a count that grows. Pure: the caller brings the clock. */

/** How a transfer goes. */
export interface Progress {
  /** Bytes verified by the receiver. */
  readonly bytes: number;
  /** 0 while nobody knows: a stream. */
  readonly totalBytes: number;
  /** Files verified by the receiver. */
  readonly files: number;
  readonly totalFiles: number;
  /** Bytes a second, smoothed; 0 until measured. */
  readonly rate: number;
  /** Seconds left at that rate, undefined until it can be told. */
  readonly secondsLeft?: number;
}

/** Time constant of the smoothing: short enough to follow a change of path, long enough to read. */
const SMOOTHING_MS = 3_000;

/** Turns counts into {@link Progress}. */
export class Speedometer {
  #at: number;
  #bytes: number;
  #rate: number | undefined;

  constructor(
    now: number,
    private readonly totalBytes: number,
    private readonly totalFiles: number,
    /** What was there before, which says nothing about speed. */
    bytes = 0,
  ) {
    this.#at = now;
    this.#bytes = bytes;
  }

  /** `bytes` and `files` are done at `now` (ms). */
  read(now: number, bytes: number, files: number): Progress {
    const elapsed = now - this.#at;
    if (elapsed > 0 && bytes > this.#bytes) {
      const rate = ((bytes - this.#bytes) * 1000) / elapsed;
      const weight = 1 - Math.exp(-elapsed / SMOOTHING_MS);
      this.#rate = this.#rate === undefined ? rate : this.#rate + weight * (rate - this.#rate);
      this.#at = now;
      this.#bytes = bytes;
    }
    const { totalBytes, totalFiles } = this;
    const progress = { bytes, totalBytes, files, totalFiles, rate: this.#rate ?? 0 };
    return this.#rate === undefined || (totalBytes === 0 && bytes > 0) ? progress : { ...progress, secondsLeft: (totalBytes - bytes) / this.#rate };
  }
}
