/**
 * Pairing as two pure state machines, {@link GuestPairing} and {@link HostPairing}: a record in, actions out. They know
 * nothing of sockets or clocks (docs/protocol.md 2.2).
 */
import { type Bytes, concat, equal, random, utf8 } from "./bytes.js";
import { type Code, secretOf } from "./code.js";
import { type CpaceInput, type Scalar, drawScalar, sessionKey, shareOf } from "./cpace.js";
import { type Keys, type Role, deriveKeys, otherRole, tag, transcriptOf } from "./keys.js";
import { Opener, SEALED, Sealer } from "./seal.js";

/** Why a side stopped; the numbers are on the wire. */
export const ABORT_REASONS = { "wrong-code": 1, version: 2, tampered: 3, "code-used": 4, cancelled: 5 } as const;
/** A name of {@link ABORT_REASONS}. */
export type AbortReason = keyof typeof ABORT_REASONS;

/** What the owner of a pairing has to do. */
export type PairingAction =
  /** Send this record to the peer. */
  | { readonly do: "send"; readonly record: Bytes }
  /** These are the keys; from now on `seal` works. */
  | { readonly do: "agreed"; readonly keys: Keys }
  /** The other side proved that it knows the code. */
  | { readonly do: "confirmed" }
  /** A sealed message of the other side. */
  | { readonly do: "open"; readonly plaintext: Bytes }
  /** It is over; the code must not be used again. */
  | { readonly do: "stop"; readonly reason: AbortReason; readonly by: "us" | "peer" };

/** Fixed choices instead of random ones, for the shared vectors. */
export interface PairingRandomness {
  readonly scalar?: Scalar;
  readonly sid?: Uint8Array;
}

const VERSION = 1;
const SHARE_GUEST = 0x01;
const SHARE_HOST = 0x02;
const CONFIRM = 0x03;
const ABORT = 0x05;
/** Guesses without a confirm cost the guesser nothing, so they are bounded: protocol 2.2. */
const MOST_SHARES = 10;
const AD: Readonly<Record<Role, Bytes>> = { guest: utf8("peerline/1 guest"), host: utf8("peerline/1 host") };

/** Both keys agreed, the other side's tag perhaps still to come. */
interface Agreement {
  readonly keys: Keys;
  readonly transcript: Bytes;
  readonly sealer: Sealer;
  readonly opener: Opener;
}

type State =
  | { readonly at: "start" }
  | { readonly at: "shared"; readonly scalar: Scalar; readonly input: CpaceInput; readonly share: Bytes }
  | ({ readonly at: "confirming" } & Agreement)
  | ({ readonly at: "paired" } & Agreement)
  | { readonly at: "stopped" };

/** An abort record. */
export function abortRecord(reason: AbortReason): Bytes {
  return Uint8Array.of(ABORT, ABORT_REASONS[reason]);
}

/** Whether a record begins an exchange. */
export function isShare(record: Uint8Array): boolean {
  return record[0] === SHARE_GUEST;
}

abstract class Pairing {
  protected state: State = { at: "start" };

  constructor(
    protected readonly code: Code,
    protected readonly role: Role,
    protected readonly randomness: PairingRandomness,
  ) {}

  /** Seals `plaintext` for the other side: a guest may from its confirm on, a host from its own. Else undefined. */
  seal(plaintext: Uint8Array): Bytes | undefined {
    const { state } = this;
    if (state.at !== "paired" && !(state.at === "confirming" && this.role === "guest")) return undefined;
    return state.sealer.seal(plaintext);
  }

  /** Opens a record of somebody who may be the other side, once paired, whatever was lost before it. */
  openAhead(record: Uint8Array): Bytes | undefined {
    return this.state.at === "paired" ? this.state.opener.openAhead(record) : undefined;
  }

  /** Stops from our side. */
  stop(reason: AbortReason): PairingAction[] {
    if (this.state.at === "stopped") return [];
    this.state = { at: "stopped" };
    return [
      { do: "send", record: abortRecord(reason) },
      { do: "stop", reason, by: "us" },
    ];
  }

  protected input(sid: Uint8Array): CpaceInput {
    return { prs: utf8(secretOf(this.code)), ci: utf8(`peerline/1 pair\0${this.code.room}`), sid };
  }

  protected agree(input: CpaceInput, scalar: Scalar, ya: Uint8Array, yb: Uint8Array): Agreement | undefined {
    const theirs = this.role === "guest" ? yb : ya;
    const isk = sessionKey(input, scalar, theirs, { share: ya, ad: AD.guest }, { share: yb, ad: AD.host });
    if (isk === undefined) return undefined;
    const keys = deriveKeys(isk);
    const other = otherRole(this.role);
    return {
      keys,
      transcript: transcriptOf(input.sid, ya, AD.guest, yb, AD.host),
      sealer: new Sealer(keys.seal[this.role], this.role),
      opener: new Opener(keys.seal[other], other),
    };
  }

  protected confirmation({ keys, transcript }: Agreement): PairingAction {
    return { do: "send", record: concat(Uint8Array.of(CONFIRM), tag(keys.confirm[this.role], transcript)) };
  }

  protected confirms(record: Uint8Array, { keys, transcript }: Agreement): boolean {
    return equal(record.subarray(1), tag(keys.confirm[otherRole(this.role)], transcript));
  }

  protected openSealed(record: Uint8Array, { opener }: Agreement): PairingAction[] {
    const plaintext = opener.open(record);
    return plaintext === undefined ? this.stop("tampered") : [{ do: "open", plaintext }];
  }

  protected stoppedByPeer(record: Uint8Array): PairingAction[] {
    const names = Object.keys(ABORT_REASONS) as AbortReason[];
    const reason = names.find((name) => ABORT_REASONS[name] === record[1]) ?? "cancelled";
    this.state = { at: "stopped" };
    return [{ do: "stop", reason, by: "peer" }];
  }
}

/** The side that was given the code. It shows its guess first. */
export class GuestPairing extends Pairing {
  constructor(code: Code, randomness: PairingRandomness = {}) {
    super(code, "guest", randomness);
  }

  /** The first record, once the room is joined. */
  start(): PairingAction[] {
    const scalar = this.randomness.scalar ?? drawScalar();
    const input = this.input(this.randomness.sid ?? random(16));
    const share = shareOf(input, scalar);
    this.state = { at: "shared", scalar, input, share };
    return [{ do: "send", record: concat(Uint8Array.of(SHARE_GUEST, VERSION), input.sid, share) }];
  }

  handle(record: Uint8Array): PairingAction[] {
    const { state } = this;
    if (state.at === "stopped" || state.at === "start") return [];
    switch (record[0]) {
      case SHARE_HOST: {
        if (state.at !== "shared" || record.length !== 33 || equal(record.subarray(1), state.share)) return this.stop("tampered");
        const agreement = this.agree(state.input, state.scalar, state.share, record.subarray(1));
        if (agreement === undefined) return this.stop("wrong-code");
        this.state = { at: "confirming", ...agreement };
        return [this.confirmation(agreement), { do: "agreed", keys: agreement.keys }];
      }
      case CONFIRM:
        if (state.at !== "confirming") return this.stop("tampered");
        if (!this.confirms(record, state)) return this.stop("wrong-code");
        this.state = { ...state, at: "paired" };
        return [{ do: "confirmed" }];
      case SEALED:
        return state.at === "paired" ? this.openSealed(record, state) : this.stop("tampered");
      case ABORT:
        return this.stoppedByPeer(record);
      default:
        return this.stop("tampered");
    }
  }
}

/** The side that made the code. It reveals nothing before the guest's tag was right. */
export class HostPairing extends Pairing {
  #shares = 0;

  constructor(code: Code, randomness: PairingRandomness = {}) {
    super(code, "host", randomness);
  }

  /** Whether no exchange is under way and the next share may begin one. */
  get idle(): boolean {
    return this.state.at === "start";
  }

  /** The guest left. Before its confirm that costs the code nothing: the next one may try. */
  guestLeft(): PairingAction[] {
    if (this.state.at === "confirming") this.state = { at: "start" };
    return [];
  }

  handle(record: Uint8Array): PairingAction[] {
    const { state } = this;
    if (state.at === "stopped") return [];
    // Late records of a guest that was given up; only a share begins an exchange.
    if (state.at === "start") return isShare(record) ? this.#answer(record) : [];
    switch (record[0]) {
      case SHARE_GUEST:
        return [{ do: "send", record: abortRecord("code-used") }];
      case CONFIRM: {
        if (state.at !== "confirming") return this.stop("tampered");
        if (!this.confirms(record, state)) return this.stop("wrong-code");
        this.state = { ...state, at: "paired" };
        return [this.confirmation(state), { do: "agreed", keys: state.keys }, { do: "confirmed" }];
      }
      case SEALED:
        return state.at === "paired" ? this.openSealed(record, state) : this.stop("tampered");
      case ABORT:
        // Not authenticated: before the confirm it is only a guest that gave up.
        return state.at === "paired" ? this.stoppedByPeer(record) : this.guestLeft();
      default:
        return this.stop("tampered");
    }
  }

  #answer(record: Uint8Array): PairingAction[] {
    if (record[1] !== VERSION) return [{ do: "send", record: abortRecord("version") }];
    if (record.length !== 50) return this.stop("tampered");
    if (++this.#shares > MOST_SHARES) return this.stop("code-used");
    const input = this.input(Uint8Array.from(record.subarray(2, 18)));
    const scalar = this.randomness.scalar ?? drawScalar();
    const share = shareOf(input, scalar);
    const agreement = this.agree(input, scalar, record.subarray(18), share);
    if (agreement === undefined) return this.stop("wrong-code");
    this.state = { at: "confirming", ...agreement };
    return [{ do: "send", record: concat(Uint8Array.of(SHARE_HOST), share) }];
  }
}
