/** What a line can be made with, and what it tells. */
import type { Channel } from "./channel.js";
import type { Hello, Intent } from "./control.js";
import type { PeerlineError } from "./errors.js";
import type { IncomingTransfer } from "./files/inbox.js";
import type { Path } from "./path.js";

/** Where a line stands. */
export type LineState =
  /** Reaching the server. */
  | "joining"
  /** The code is there; nobody came yet (host only). */
  | "waiting"
  /** Agreeing on keys from the code. */
  | "pairing"
  /** Looking for a path to the other side. */
  | "connecting"
  /** Verified and usable. */
  | "connected"
  /** The path broke; looking for another one. */
  | "interrupted"
  | "closed";

/** How to make a line. All fields are optional. */
export interface LineOptions {
  /** Address of the signaling server's page or WebSocket; the server this SDK was loaded from unless given. */
  readonly server?: string | URL;
  /** What this side came for; shown to the other side. Default `any`. */
  readonly intent?: Intent;
  /** For servers that ask for a token. */
  readonly token?: string;
  /** Name and version of your application, up to 64 characters. */
  readonly agent?: string;
  /** Only go through relays, so that the other side does not learn this device's addresses. */
  readonly relayOnly?: boolean;
  /** ICE servers in addition to those the server names. */
  readonly iceServers?: readonly RTCIceServer[];
}

/** A code as it is shown. */
export interface ShownCode {
  /** `7-crane-velvet-orbit` */
  readonly code: string;
  /** Opens the page and pairs at once. */
  readonly link: string;
}

/** Somebody in the host's room who has not shown a guess. */
export type Visit =
  /** It came; the right guest shows its guess at once. */
  | "came"
  /** It went without one. */
  | "left"
  /** It stayed and said nothing, so the room is made again without it; the code stays good. */
  | "silent";

/** Events of a {@link Line}. */
export interface LineEvents {
  /** The state changed. */
  state: LineState;
  /** The code to give to the other side (host only). */
  code: ShownCode;
  /** Somebody is in the room who has not shown a guess (host only). */
  visitor: Visit;
  /** The other side is verified. */
  connected: Hello;
  /** Path or round trip changed. */
  path: Path;
  /** The other side offers files. */
  transfer: IncomingTransfer;
  /** The other side opened a channel of your own protocol. */
  channel: Channel;
  /** The end, with the failure if it was one. Nothing follows. */
  closed: PeerlineError | undefined;
}
