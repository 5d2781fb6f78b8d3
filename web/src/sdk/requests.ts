/**
 * The same messages without a WebSocket: POST what is said, hear one stream of events, or polls where something on
 * the way holds streams back. `EventSource` cannot carry a token outside the address, so streams are read with `fetch`.
 */
import type { Carrier, Hooks } from "./carrier.js";

/** The first event of a stream is there at once, unless something collects streams. */
const FIRST_EVENT_MS = 3_000;
/** For requests that are answered at once. */
const ANSWER_LIMIT_MS = 10_000;
/** The server holds a poll for 25 s. */
const POLL_LIMIT_MS = 35_000;
/** Messages in one POST: half of what the server takes. */
const MOST_LINES = 32;
const LONGEST_EVENT = 128 * 1024;

interface Member {
  readonly token: string;
  readonly path: string;
  got: number;
}

/** A connection that is made of requests. */
export class Requests implements Carrier {
  readonly kind = "requests";
  #member: Member | undefined;
  #lines: string[] = [];
  #posting: Promise<void> | undefined;
  #over = false;
  #polls = false;
  readonly #abort = new AbortController();

  constructor(
    private readonly page: URL,
    private readonly hooks: Hooks,
  ) {}

  /** Whether a signaling server answers requests next to `page`. */
  static async answers(page: URL): Promise<boolean> {
    try {
      const response = await fetch(new URL("healthz", page), { cache: "no-store", signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
      const health = (await response.json()) as { service?: unknown };
      return health.service === "peerline";
    } catch {
      return false;
    }
  }

  send(text: string): void {
    const { type, seq, resume, ack, room } = JSON.parse(text) as Record<string, unknown>;
    if (type === "join") {
      const entering = typeof resume === "string" ? this.#resume(resume, Number(ack)) : this.#join(text, typeof room === "string" ? room : "-");
      entering.catch(() => this.#end());
      return;
    }
    // The next poll says it.
    if (type === "ack" && this.#polls && seq !== undefined) return;
    this.#lines.push(text);
    this.#flush();
  }

  close(): void {
    this.#over = true;
    // A last POST, as of `leave`, is let through.
    void (this.#posting ?? Promise.resolve()).finally(() => this.#abort.abort());
  }

  #flush(): void {
    if (this.#member === undefined) return;
    this.#posting ??= this.#post(this.#member).finally(() => {
      this.#posting = undefined;
      // Something may have come just now.
      if (this.#lines.length > 0 && !this.#over) this.#flush();
    });
  }

  async #join(text: string, room: string): Promise<void> {
    const answer = await this.#ask(`api/rooms/${room}/messages`, { method: "POST", body: text }, ANSWER_LIMIT_MS);
    const joined = await answer.text();
    const { type, resume, room: entered } = JSON.parse(joined) as Record<string, unknown>;
    if (type !== "joined" || typeof resume !== "string" || typeof entered !== "string") return this.#hear(joined);
    this.#member = { token: resume, path: `api/rooms/${entered}/`, got: 0 };
    this.#hear(joined);
    // Its first event is a `resumed`, which nobody waits for.
    await this.#listen(false);
  }

  async #resume(token: string, got: number): Promise<void> {
    // The token says where it belongs: secret.id.room.
    const room = token.split(".").slice(2).join(".");
    this.#member = { token, path: `api/rooms/${room}/`, got };
    await this.#listen(true);
  }

  async #listen(greet: boolean): Promise<void> {
    const streamed = await this.#stream(greet);
    if (streamed || this.#over) return this.#end();
    this.#polls = true;
    if (greet) {
      const member = this.#member;
      if (member === undefined) return;
      const answer = await this.#ask(`${member.path}messages`, { method: "POST", body: "" }, ANSWER_LIMIT_MS);
      const text = await answer.text();
      const { type, seq } = JSON.parse(text) as Record<string, unknown>;
      this.#hear(type === "ack" ? JSON.stringify({ type: "resumed", received: seq }) : text);
      if (!answer.ok) return this.#end();
    }
    while (!this.#over) await this.#poll();
  }

  /** Reads a stream to its end; false if nothing came through. */
  async #stream(greet: boolean): Promise<boolean> {
    const member = this.#member;
    if (member === undefined) return true;
    const first = new AbortController();
    const limit = setTimeout(() => first.abort(), FIRST_EVENT_MS);
    let heard = false;
    try {
      const signal = AbortSignal.any([this.#abort.signal, first.signal]);
      const headers = { ...this.#headers(), "last-event-id": String(member.got) };
      const response = await fetch(new URL(`${member.path}events`, this.page), { headers, cache: "no-store", signal });
      if (!response.ok || response.body === null) {
        clearTimeout(limit);
        this.#hear(await response.text());
        return true;
      }
      for await (const data of events(response.body)) {
        clearTimeout(limit);
        if (heard || greet) this.#hear(data);
        heard = true;
      }
      return true;
    } catch {
      // Broken later on, it is a lost connection like any other.
      return heard || !first.signal.aborted;
    } finally {
      clearTimeout(limit);
    }
  }

  async #poll(): Promise<void> {
    const member = this.#member;
    if (member === undefined) return;
    const answer = await this.#ask(`${member.path}poll?ack=${member.got}`, {}, POLL_LIMIT_MS);
    for (const line of (await answer.text()).split("\n")) if (line !== "") this.#hear(line);
    if (!answer.ok) this.#end();
  }

  async #post({ path }: Member): Promise<void> {
    try {
      while (this.#lines.length > 0) {
        const body = this.#lines.splice(0, MOST_LINES).join("\n");
        // Short ones, as of `leave`, outlive the page.
        const keepalive = body.length < 1024;
        const answer = await this.#ask(`${path}messages`, { method: "POST", body, keepalive }, ANSWER_LIMIT_MS);
        this.#hear(await answer.text());
        if (!answer.ok) this.#end();
      }
    } catch {
      this.#end();
    }
  }

  #ask(path: string, init: RequestInit, limit: number): Promise<Response> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(limit)]);
    return fetch(new URL(path, this.page), { ...init, headers: this.#headers(), cache: "no-store", signal });
  }

  #headers(): Record<string, string> {
    return this.#member === undefined ? {} : { authorization: `Bearer ${this.#member.token}` };
  }

  #hear(text: string): void {
    if (this.#over) return;
    const seq = /^\{"seq":(\d+),/.exec(text)?.[1];
    if (seq !== undefined && this.#member !== undefined) this.#member.got = Math.max(this.#member.got, Number(seq));
    this.hooks.message(text);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    this.hooks.closed();
  }
}

/** The data of every event of a stream (HTML Living Standard, "Interpreting an event stream"). */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        if (line !== "" || data.length === 0) continue;
        yield data.join("\n");
        data = [];
      }
      if (rest.length + data.reduce((sum, line) => sum + line.length, 0) > LONGEST_EVENT) throw new Error("an event without end");
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
