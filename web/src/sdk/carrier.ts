/** What carries signaling messages: a WebSocket, or requests where the network refuses one. */
import { PeerlineError } from "./errors.js";
import { Requests } from "./requests.js";

/** What a carrier tells its owner. */
export interface Hooks {
  /** One message, as text. */
  message(text: string): void;
  /** The connection is gone; nothing follows. */
  closed(): void;
}

/** A way to the server. */
export interface Carrier {
  readonly kind: "websocket" | "requests";
  /** Sends one message. */
  send(text: string): void;
  /** Sends what waits and closes. No hook is called any more. */
  close(): void;
}

/** Keeps what comes while nobody listens, and gives it to whoever does next. */
export class Inlet implements Hooks {
  #owner: Hooks | undefined;
  #held: string[] = [];
  #closed = false;

  message(text: string): void {
    if (this.#owner === undefined) this.#held.push(text);
    else this.#owner.message(text);
  }

  closed(): void {
    this.#closed = true;
    this.#owner?.closed();
  }

  /** From now on `owner` is told; `undefined` for nobody. */
  give(owner: Hooks | undefined): void {
    this.#owner = owner;
    // The owner may stop to listen behind any of them.
    while (this.#owner !== undefined && this.#held.length > 0) this.#owner.message(this.#held.shift() ?? "");
    if (this.#closed) this.#owner?.closed();
  }
}

/** Time for a WebSocket before requests are tried. */
const WEBSOCKET_LIMIT_MS = 4_000;

/** Opens a way to the server whose WebSocket is at `url`. @throws PeerlineError */
export async function connect(url: URL, hooks: Hooks, kind?: Carrier["kind"]): Promise<Carrier> {
  if (kind === "requests") return new Requests(pageOf(url), hooks);
  const socket = await openSocket(url);
  if (socket !== undefined) return socketCarrier(socket, hooks);
  if (await Requests.answers(pageOf(url))) return new Requests(pageOf(url), hooks);
  throw new PeerlineError("server-unreachable", `The server at ${url.host} does not answer.`);
}

function openSocket(url: URL): Promise<WebSocket | undefined> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    const end = (opened: boolean): void => {
      clearTimeout(limit);
      socket.onopen = socket.onclose = null;
      if (!opened) socket.close();
      resolve(opened ? socket : undefined);
    };
    const limit = setTimeout(() => end(false), WEBSOCKET_LIMIT_MS);
    socket.onopen = () => end(true);
    socket.onclose = () => end(false);
  });
}

function socketCarrier(socket: WebSocket, hooks: Hooks): Carrier {
  socket.onmessage = ({ data }) => hooks.message(typeof data === "string" ? data : "");
  socket.onclose = () => hooks.closed();
  return {
    kind: "websocket",
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => {
      socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}

/** The page next to the WebSocket `url`, by which requests find their paths. */
function pageOf(url: URL): URL {
  const page = new URL(url.pathname.endsWith("/ws") ? "./" : url.pathname, url);
  page.protocol = url.protocol === "wss:" ? "https:" : "http:";
  return page;
}
