/** Addresses of a signaling server: its page, and the WebSocket next to it. */

/** `ws(s)://…/ws` next to the page at `server`; an address that is a WebSocket already stays. */
export function socketUrl(server: string | URL): URL {
  const url = new URL(server);
  if (url.protocol === "ws:" || url.protocol === "wss:") return url.pathname === "/" ? new URL("/ws", url) : url;
  const socket = new URL("ws", pageUrl(server));
  socket.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return socket;
}

/** The page of a server given by its page or by its WebSocket. */
export function pageUrl(server: string | URL): URL {
  const url = new URL(server);
  if (url.protocol === "ws:" || url.protocol === "wss:") {
    url.protocol = url.protocol === "wss:" ? "https:" : "http:";
    url.pathname = url.pathname.replace(/ws$/, "");
  }
  url.search = "";
  url.hash = "";
  return url;
}
