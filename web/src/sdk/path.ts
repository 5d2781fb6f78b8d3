/** Which way the bytes go, from the statistics of a peer connection. */

/** The path in use. */
export interface Path {
  /** `relayed`: through a TURN server, which still sees nothing but sealed packets. */
  readonly kind: "direct" | "relayed";
  /** Round trip in milliseconds, once measured. */
  readonly rttMs?: number;
}

interface Pair {
  readonly type: string;
  readonly id: string;
  readonly state?: string;
  readonly nominated?: boolean;
  readonly selected?: boolean;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly currentRoundTripTime?: number;
  readonly selectedCandidatePairId?: string;
  readonly candidateType?: string;
}

/** The selected pair of `report`, or undefined while there is none. */
export function pathOf(report: ReadonlyMap<string, unknown>): Path | undefined {
  const stats = [...report.values()] as Pair[];
  const chosen = stats.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  // Firefox has no selectedCandidatePairId but marks the pair.
  const pair = stats.find((entry) => entry.id === chosen) ?? stats.find(isChosen);
  if (pair === undefined) return undefined;
  const ends = [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.find((entry) => entry.id === id));
  const kind = ends.some((end) => end?.candidateType === "relay") ? "relayed" : "direct";
  const rtt = pair.currentRoundTripTime;
  return rtt === undefined ? { kind } : { kind, rttMs: rtt * 1000 };
}

function isChosen({ type, selected, nominated, state }: Pair): boolean {
  return type === "candidate-pair" && (selected === true || (nominated === true && state === "succeeded"));
}

/** Whether ICE has lost its path, perhaps for a moment. */
export function isBroken(state: RTCIceConnectionState): boolean {
  return state === "disconnected" || state === "failed";
}

/** Whether ICE has one. */
export function hasPath(state: RTCIceConnectionState): boolean {
  return state === "connected" || state === "completed";
}

/** Why and since when the other side cannot be reached, on the clock of `performance.now()`. */
export interface Trouble {
  since: number;
  readonly silent: boolean;
  restartAt: number;
  tickAt: number;
}
