/**
 * The page in `dist/` in front of a signaling server, which embeds its own when it is compiled: with `PAGE=dist` a
 * changed page can be tried without compiling anything. Everything but the page's files is passed on.
 */
import { readFile } from "node:fs/promises";
import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";
import { join } from "node:path";

/** Listens on a free port of 127.0.0.1. */
export class Front {
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly behind: URL,
  ) {
    server.on("request", (asked, answer) => void this.#serve(asked, answer));
    server.on("upgrade", (asked, socket, head) => this.#pass(asked, socket as Socket, head));
    server.on("connection", (socket) => this.#own(socket));
  }

  /** Starts in front of the server at `behind`. */
  static async start(behind: URL): Promise<Front> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Front(server, behind);
  }

  /** Address of the page. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  /** Closes every connection. */
  stop(): void {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The server's answer with its headers; the body is ours if the page has such a file. */
  async #serve(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const path = new URL(asked.url ?? "/", this.url).pathname;
    const name = path === "/" ? "index.html" : path.slice(1);
    const ours = /^[a-z]+\.[a-z]+$/.test(name) ? await readFile(join(process.cwd(), "dist", name)).catch(() => undefined) : undefined;
    const { "if-none-match": _, "accept-encoding": __, ...headers } = asked.headers;
    const passed = request(new URL(asked.url ?? "/", this.behind), { method: asked.method ?? "GET", headers }, (theirs) => {
      const { "content-length": ___, etag: ____, ...kept } = theirs.headers;
      answer.writeHead(theirs.statusCode ?? 502, ours === undefined ? theirs.headers : kept);
      if (ours === undefined) return void theirs.pipe(answer);
      theirs.resume();
      answer.end(ours);
    });
    passed.on("error", () => answer.destroy());
    asked.pipe(passed);
  }

  /** A WebSocket, byte for byte. */
  #pass({ method, url, rawHeaders }: IncomingMessage, socket: Socket, head: Buffer): void {
    const lines = [`${method} ${url} HTTP/1.1`];
    for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
    const there = connect(Number(this.behind.port), this.behind.hostname);
    this.#own(there);
    there.write(`${lines.join("\r\n")}\r\n\r\n`);
    there.write(head);
    socket.pipe(there).pipe(socket);
    socket.on("close", () => there.destroy());
    there.on("close", () => socket.destroy());
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }
}
