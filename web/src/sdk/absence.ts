/**
 * An other side that the server misses, and from when on it is gone for good (docs/protocol.md 3.6). Times are those of
 * `performance.now()`.
 */

/** Leaving the server and losing the path within this time is leaving; Chromium notices the path after about 5 s. */
const TOGETHER_MS = 10_000;
/** How long one whose connection to the server broke is waited for: if it lives it comes back within seconds. */
const AWAY_LIMIT_MS = 10_000;

/** Since when it is missed, and whether it left the room or only its connection to the server broke. */
export interface Absence {
  readonly at: number;
  readonly onPurpose: boolean;
}

/** From when on one is gone that was never verified, and to which there is no path. */
export function endsHandshakes({ at }: Absence): number {
  return at + AWAY_LIMIT_MS;
}

/** From when on a verified one is gone whose path was lost at `lostAt`; `Infinity` if it may come back. */
export function endsSession({ at, onPurpose }: Absence, lostAt: number): number {
  if (lostAt - at >= TOGETHER_MS) return Infinity;
  if (onPurpose) return Math.max(at, lostAt);
  return at - lostAt < TOGETHER_MS ? at + AWAY_LIMIT_MS : Infinity;
}
