/** This side's place in a room: as a guest of its host, or as the host of one guest. */
import { utf8, random, toHex } from "../bytes.js";
import type { Channel } from "../channel.js";
import { Events } from "../events.js";
import { Malformed } from "../json.js";
import type { Role } from "../keys.js";
import { cleaned } from "../text.js";
import { type ChatKind, type ChatMessage, MAX_TEXT, type Person, type Saying, WINDOW, newKey, parseChatMessage } from "./messages.js";

/** Something somebody else said. */
export interface ChatSaid {
  /** What its sender was called then. Comes from the other side, and is safe to show. */
  readonly name: string;
  /** When, by the sender's clock, in milliseconds since 1970. */
  readonly at: number;
  readonly kind: ChatKind;
  /** Up to 8 KiB of anything: show it as text. */
  readonly text: string;
  /** Whether it was said before this side came. */
  readonly old: boolean;
}

/** Who is in the room. */
export interface ChatPeople {
  /** What this side is called; not what it asked for, if somebody else is. */
  readonly name: string;
  /** The others that can be reached. */
  readonly others: readonly string[];
}

/** Events of a {@link Chat}. */
export interface ChatEvents {
  /** Each message of the others, once, and those of one sender in order. */
  said: ChatSaid;
  /** Who is here has changed. */
  people: ChatPeople;
  /** What was said and not taken by the other side is less or more now. */
  waiting: number;
  /** The channel has closed. */
  closed: undefined;
}

/** Messages of our own that are kept until they are taken. */
const MOST_KEPT = 256;
/** Names are as wide as in a terminal. */
const LONGEST_NAME = 32;
/** The numbers of the two when this side is the host. */
const HOST = 0;
const GUEST = 1;

/** A room in which several talk. The host passes on what they say. */
export class Chat extends Events<ChatEvents> {
  #name: string;
  #kept: Saying[] = [];
  /** Our last message; the last that was sent; the last that was taken. */
  #last = 0;
  #sent = 0;
  #taken = 0;
  /** The last message of the other side, and the last whose taking was told. */
  #heard = 0;
  #told = 0;
  #entered = false;
  #old = 0;
  #guest: string | undefined;
  #pumping = false;

  /** Takes part over a channel of its protocol. */
  constructor(
    private readonly channel: Channel,
    private readonly role: Role,
    name: string,
  ) {
    super();
    this.#name = chatName(name);
    channel.on("closed", () => this.emit("closed", undefined));
    // The caller gets to listen before the first event.
    queueMicrotask(() => channel.read((data) => this.#read(data)));
    if (role === "guest") void this.#enter();
  }

  /** Says something. Returns whether there was room: what was not taken for long fills it. @throws RangeError over 8 KiB */
  say(text: string, kind: ChatKind = "text"): boolean {
    if (utf8(text).length > MAX_TEXT) throw new RangeError(`more than ${MAX_TEXT} bytes`);
    if (this.#kept.length >= MOST_KEPT) return false;
    this.#kept.push({ n: ++this.#last, at: Date.now(), kind, text: text.toWellFormed() });
    this.emit("waiting", this.#kept.length);
    this.#pump();
    return true;
  }

  /** Wants to be called otherwise; `people` says what it is called. */
  rename(name: string): void {
    if (this.role === "guest") {
      if (this.#entered) this.#send({ type: "name", name: chatName(name) });
      this.#name = chatName(name);
      return;
    }
    this.#name = distinct(chatName(name), this.#guest);
    this.#tellPeople();
  }

  /** Leaves. */
  close(): void {
    this.channel.close();
  }

  async #enter(): Promise<void> {
    try {
      await this.channel.ready();
      this.#send({ type: "enter", key: newKey(), name: this.#name });
    } catch {
      // It closed first, which says `closed`.
    }
  }

  #read(data: string | ArrayBuffer): void {
    try {
      if (typeof data !== "string") throw new Malformed("not text");
      this.#receive(parseChatMessage(data));
    } catch (error) {
      // Nothing can be understood of what follows.
      this.channel.close();
      if (!(error instanceof Malformed) && !(error instanceof RangeError)) throw error;
    }
  }

  #receive(message: ChatMessage): void {
    const [host, guest] = [this.role === "host", this.role === "guest"];
    switch (message.type) {
      case "unknown":
        return;
      case "enter":
        if (!host || this.#entered) break;
        this.#entered = true;
        this.#guest = distinct(chatName(message.name), this.#name);
        this.#heard = this.#told = message.taken;
        this.#send({ type: "welcome", room: toHex(random(8)), you: GUEST, people: this.#people(), taken: message.taken, old: this.#kept.length, missed: 0 });
        this.#show();
        return this.#pump();
      case "name":
        if (!host || !this.#entered) break;
        this.#guest = distinct(chatName(message.name), this.#name);
        return this.#tellPeople();
      case "welcome":
        if (!guest || this.#entered) break;
        this.#entered = true;
        this.#old = message.old;
        this.#meet(message.people, message.you);
        return this.#pump();
      case "people":
        if (!guest || !this.#entered) break;
        return this.#meet(message.people, this.#me);
      case "ack":
        if (!this.#entered || message.n > this.#sent) break;
        this.#taken = Math.max(this.#taken, message.n);
        this.#kept = this.#kept.filter(({ n }) => n > this.#taken);
        this.emit("waiting", this.#kept.length);
        return this.#pump();
      case "say":
        // One after the other, and no more than the window.
        if (!host || this.#guest === undefined || message.n !== this.#heard + 1 || message.n - this.#told > WINDOW) break;
        return this.#hear(message, this.#guest);
      case "said":
        if (!guest || !this.#entered) break;
        return this.#hear(message, chatName(message.name));
    }
    throw new Malformed("out of turn");
  }

  #hear({ n, at, kind, text }: Saying, name: string): void {
    const old = this.#old > 0;
    if (old) this.#old -= 1;
    if (n <= this.#heard) return;
    this.#heard = n;
    this.emit("said", { name, at, kind, text, old });
    this.#pump();
  }

  /** Acknowledges and sends, once for all that came together. */
  #pump(): void {
    if (this.#pumping || !this.#entered) return;
    this.#pumping = true;
    void this.#pumpUntilDry().finally(() => (this.#pumping = false));
  }

  async #pumpUntilDry(): Promise<void> {
    for (;;) {
      try {
        // Also lets what has arrived be read first.
        await this.channel.ready();
        await new Promise((resolve) => setTimeout(resolve));
        if (this.#told < this.#heard) {
          this.#told = this.#heard;
          this.#send({ type: "ack", n: this.#told });
        }
        const next = this.#kept.filter(({ n }) => n > this.#sent && n - this.#taken <= WINDOW);
        if (next.length === 0) return;
        for (const saying of next) {
          this.#send(this.role === "guest" ? { type: "say", ...saying } : { type: "said", from: HOST, name: this.#name, ...saying });
          this.#sent = saying.n;
        }
      } catch {
        // It closed, which says `closed`.
        return;
      }
    }
  }

  #me = GUEST;

  #meet(people: readonly Person[], me: number): void {
    this.#me = me;
    const name = people.find(({ id }) => id === me)?.name;
    if (name !== undefined) this.#name = chatName(name);
    const others = people.filter(({ id, away }) => id !== me && !away).map(({ name }) => chatName(name));
    this.emit("people", { name: this.#name, others });
  }

  #people(): readonly Person[] {
    const host = { id: HOST, name: this.#name, away: false };
    return this.#guest === undefined ? [host] : [host, { id: GUEST, name: this.#guest, away: false }];
  }

  #tellPeople(): void {
    if (this.#entered) this.#send({ type: "people", people: this.#people() });
    this.#show();
  }

  #show(): void {
    this.emit("people", { name: this.#name, others: this.#guest === undefined ? [] : [this.#guest] });
  }

  #send(message: { readonly type: string; readonly [field: string]: unknown }): void {
    if (this.channel.open) this.channel.send(JSON.stringify(message));
  }
}

/** A name that can be shown anywhere: one line, without controls. */
export function chatName(text: string): string {
  const words = text.split(/\s+/u).filter((word) => word !== "");
  return cleaned(words.slice(0, LONGEST_NAME).join(" "), LONGEST_NAME) || "somebody";
}

/** `name`, with a number if the other one is called so. */
function distinct(name: string, other: string | undefined): string {
  if (name.toLowerCase() !== other?.toLowerCase()) return name;
  return `${cleaned(name, LONGEST_NAME - 2)}-2`;
}
