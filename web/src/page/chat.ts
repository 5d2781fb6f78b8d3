/** The card of a chat: what was said, who is here, and a field to say something. */
import { Chat, type ChatPeople, type ChatSaid, type Channel, type Role, cleaned } from "peerline";
import { foreign, h, isEnter, uniqueId } from "./dom.js";

/** Messages on the screen; older ones go. */
const MOST_SHOWN = 1_000;
/** Bytes in one message; what is pasted beyond that becomes several. */
const LONGEST = 8_192;
const NAME_KEY = "peerline-chat-name";

/** The card, which can be there before there is a channel. */
export class ChatView {
  readonly element: HTMLDetailsElement;
  readonly #list = h("ol", { class: "messages", role: "log", "aria-label": "Messages", tabindex: "0" });
  readonly #who = h("span", { class: "detail" });
  readonly #unread = h("span", { class: "unread", hidden: true });
  readonly #field = h("textarea", { rows: "1", enterkeyhint: "send", placeholder: "Write a message", maxlength: "100000" });
  readonly #send = h("button", { type: "submit", class: "primary" }, "Send");
  readonly #note = h("p", { class: "hint", role: "status" });
  readonly #name: HTMLInputElement;
  #chat: Chat | undefined;
  #others: readonly string[] | undefined;
  #count = 0;

  /** Open, or folded away until somebody says something. */
  constructor(open: boolean) {
    const [field, name] = [uniqueId(), uniqueId()];
    this.#field.id = field;
    this.#name = h("input", { id: name, type: "text", maxlength: "32", autocomplete: "nickname" });
    this.#name.value = storedName();
    const form = h("form", { class: "say" }, h("label", { for: field, class: "offscreen" }, "Message"), this.#field, this.#send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#field.addEventListener("keydown", (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      this.#say();
    });
    this.#field.addEventListener("input", () => this.#grow());
    const names = h("form", { class: "row called" }, h("label", { for: name }, "Your name"), this.#name, h("button", { type: "submit", class: "plain" }, "Change"));
    names.addEventListener("submit", (event) => {
      event.preventDefault();
      storeName(this.#name.value.trim());
      this.#chat?.rename(this.#name.value);
    });
    this.element = h("details", { class: "card chat" }, h("summary", {}, h("h2", {}, "Chat"), this.#unread, this.#who), this.#list, form, this.#note, names);
    this.element.open = open;
    this.element.addEventListener("toggle", () => {
      if (!this.element.open) return;
      this.#read();
      this.#toEnd();
    });
    this.#enable(false);
  }

  /** The channel is there. */
  attach(channel: Channel, role: Role): void {
    if (this.#chat !== undefined) return channel.close();
    const chat = new Chat(channel, role, storedName() || "browser");
    this.#chat = chat;
    chat.on("people", (people) => this.#people(people));
    chat.on("said", (said) => this.#hear(said));
    chat.on("waiting", (count) => (this.#note.textContent = count > 8 ? `${count} messages on their way…` : ""));
    chat.on("closed", () => this.close());
    // A host talks to whoever comes; a guest must have come in, which `people` says.
    this.#enable(role === "host");
  }

  /** Nobody hears it any more; what was said stays. */
  close(): void {
    this.#enable(false);
    this.#note.textContent = this.#chat === undefined ? "" : "The chat has ended.";
  }

  #enable(on: boolean): void {
    this.#field.disabled = this.#send.disabled = !on;
  }

  #say(): void {
    const text = this.#field.value.replace(/\s+$/u, "");
    if (text.trim() === "" || this.#chat === undefined) return;
    const action = /^\/me\s+(\S.*)$/u.exec(text);
    const [kind, content] = action?.[1] === undefined ? (["text", text] as const) : (["action", action[1]] as const);
    for (const piece of pieces(content)) {
      if (!this.#chat.say(piece, kind)) {
        this.#note.textContent = "The other side takes nothing at the moment. Try again in a while.";
        return;
      }
      this.#show("You", kind, piece, Date.now(), "own");
    }
    this.#field.value = "";
    this.#grow();
  }

  #hear(said: ChatSaid): void {
    this.#show(said.name, said.kind, said.text, said.at, said.old ? "old" : "");
    if (said.old || (this.element.open && document.visibilityState === "visible")) return;
    this.#count += 1;
    this.#unread.textContent = String(this.#count);
    this.#unread.setAttribute("aria-label", `${this.#count} new`);
    this.#unread.hidden = this.element.open;
  }

  #read(): void {
    this.#count = 0;
    this.#unread.hidden = true;
  }

  #people({ name, others }: ChatPeople): void {
    this.#enable(true);
    this.#who.replaceChildren(...(others.length === 0 ? ["nobody else here"] : ["with ", foreign(others.join(", "))]));
    if (document.activeElement !== this.#name) this.#name.value = name;
    const before = this.#others;
    this.#others = others;
    if (before === undefined) return;
    for (const other of others) if (!before.includes(other)) this.#tell(other, " is here.");
    for (const other of before) if (!others.includes(other)) this.#tell(other, " is not here any more.");
  }

  #tell(name: string, what: string): void {
    this.#append(h("li", { class: "news" }, foreign(name), what));
  }

  #show(name: string, kind: string, text: string, at: number, tone: string): void {
    const who = h("strong", {}, foreign(name));
    const shown = text.split("\n").map((line) => cleaned(line, LONGEST)).join("\n");
    const content = h("span", { class: "text", dir: "auto" }, shown);
    const item = h("li", { class: `${kind === "action" ? "action" : "said"} ${tone}`.trim() }, who, clock(at), content);
    this.#append(item);
  }

  #append(item: HTMLElement): void {
    // Who reads what was before is not torn away from it.
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#list.append(item);
    while (this.#list.childElementCount > MOST_SHOWN) this.#list.firstElementChild?.remove();
    if (atEnd || item.classList.contains("own")) this.#toEnd();
  }

  #toEnd(): void {
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #grow(): void {
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight + 2, 160)}px`;
  }
}

/** A time of today, or with its date; nothing if the clock of the other side is no clock. */
function clock(at: number): HTMLElement | undefined {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return undefined;
  const today = date.toDateString() === new Date().toDateString();
  const shown = today ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : date.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  return h("time", { datetime: date.toISOString() }, shown);
}

/** `text` in messages that are short enough. */
function* pieces(text: string): Generator<string> {
  const encoder = new TextEncoder();
  let piece = "";
  let size = 0;
  for (const character of text.toWellFormed()) {
    const length = encoder.encode(character).length;
    if (size + length > LONGEST) {
      yield piece;
      [piece, size] = ["", 0];
    }
    piece += character;
    size += length;
  }
  yield piece;
}

/** Private windows and strict settings may refuse to remember. */
function storedName(): string {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}

function storeName(name: string): void {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // It is called so until the page is left.
  }
}
