/** The page: a link or a person starts a line, and the views follow its events. */
import { BENCH_PROTOCOL, type Bench, CHAT_LABEL, CHAT_PROTOCOL, type Channel, Line, Room, PeerlineError, type FailureCode, type Hello, type Intent, type LineOptions, type SourceEntry, parseCode } from "peerline";
import { Activity } from "./activity.js";
import { BenchView } from "./bench.js";
import { CallView } from "./call.js";
import { ChatView } from "./chat.js";
import { chooser } from "./chooser.js";
import { ConnectionCard } from "./connection.js";
import { button, focusOn, h, swap, uniqueId } from "./dom.js";
import { home } from "./home.js";
import { PipeView } from "./pipe/view.js";
import { RoomView } from "./room.js";
import { refuseStrayFiles } from "./stray.js";
import { credentials, tokenForm } from "./token.js";
import { incomingCard, outgoingCard, type TransferWatcher } from "./transfer.js";
import { WaitingView, making } from "./waiting.js";

const activity = new Activity();
const main = document.querySelector("main") ?? document.body;
/** A question that waits for an answer, above whatever is going on. */
const question = h("div", {});
const view = h("div", {});
let current: Line | undefined;
let leaveRoom: (() => void) | undefined;

/** What a person did themselves, or was told in the words of a transfer; how the line ended after that is no news. */
const PERSONAL: readonly FailureCode[] = ["cancelled", "declined"];
const NO_NEWS: readonly FailureCode[] = [...PERSONAL, "timeout", "peer-gone"];

/** How long the other side may take to hang up after a pipe broke off: our goodbye could overtake the reason. */
const HANG_UP_MS = 5_000;

function show(...content: readonly HTMLElement[]): void {
  view.replaceChildren(...content);
  const heading = view.querySelector<HTMLElement>("h1");
  if (heading !== null) focusOn(heading);
}

function start(): void {
  current = undefined;
  view.replaceChildren(home({ send: host, join, invite: () => host([]), call: () => host([], "call"), chat: () => host([], "chat"), measure: () => host([], "bench") }));
}

function host(entries: SourceEntry[], intent: Intent = entries.length > 0 ? "send-files" : "receive-files"): void {
  const line = Line.host({ intent, ...credentials() } satisfies LineOptions);
  const lineView = new LineView(line, entries, intent);
  let waiting: WaitingView | undefined;
  show(making(() => line.close()));
  line.on("code", (shown) => {
    waiting = new WaitingView(shown, intent, entries, () => line.close());
    show(waiting.element);
  });
  line.on("visitor", (visit) => waiting?.visited(visit));
  line.on("state", (state) => {
    if (state === "pairing") show(lineView.element);
    if (state !== "waiting" || waiting === undefined) return;
    // A guest that gave up before it showed its guess, or was shut out: the code still waits for the right one.
    waiting.ready();
    if (!waiting.element.isConnected) show(waiting.element);
  });
  use(line, lineView, () => host(entries, intent), button("primary", "Make a new code", () => host(entries, intent)));
}

function join(code: string): void {
  let line: Line;
  try {
    line = Line.join(code, credentials());
  } catch (error) {
    return fail(error instanceof PeerlineError ? error : new PeerlineError("bad-code", String(error)));
  }
  const lineView = new LineView(line, [], "any");
  show(lineView.element);
  use(line, lineView, () => join(code));
}

/** An open room: whoever has the address is in it. */
function enter(name: string): void {
  const room = Room.enter(name, credentials());
  show(new RoomView(room).element);
  leaveRoom = () => room.close();
  room.on("closed", (error) => {
    leaveRoom = undefined;
    if (error === undefined) {
      history.replaceState(null, "", location.pathname);
      return start();
    }
    if (error.code === "unauthorized") return show(h("div", { class: "narrow" }, tokenForm(error.message, error.hint, () => enter(name), start)));
    fail(error, button("primary", "Enter again", () => enter(name)));
  });
}

/** `repeat` starts the same once more; `again` is offered if the line fails before there is a connection. */
function use(line: Line, lineView: LineView, repeat: () => void, again?: HTMLButtonElement): void {
  const before = current;
  current = line;
  before?.close();
  line.on("closed", (error) => {
    if (current !== line) return;
    current = undefined;
    if (lineView.used) return lineView.close(error);
    if (error === undefined) return start();
    if (error.code === "unauthorized") return show(h("div", { class: "narrow" }, tokenForm(error.message, error.hint, repeat, start)));
    fail(error, again);
  });
}

function fail(error: PeerlineError, again?: HTMLButtonElement): void {
  show(h("div", { class: "narrow" }, failure(error, again)));
}

function failure(error: PeerlineError, again?: HTMLButtonElement): HTMLElement {
  return h(
    "section",
    { class: "card failure", role: "alert" },
    h("h1", {}, error.message),
    h("p", {}, error.hint),
    h("div", { class: "actions" }, again, button(again === undefined ? "primary" : "plain", "Start again", start)),
  );
}

/** What is shown from the first contact with the other side until the end. */
class LineView {
  readonly element = h("div", { class: "narrow" });
  readonly #transfers = h("div", { class: "transfers" });
  readonly #hint = h("p", { class: "lead" });
  readonly #chooser = h("div", { class: "after" });
  readonly #watcher: TransferWatcher;
  /** Whether there was a connection, so that there may be something to keep on the screen. */
  used = false;
  /** Whether the last transfer ended because a person of either side wanted it to. */
  #wanted = false;
  #chat: ChatView | undefined;
  #pipe: PipeView | undefined;
  #bench: BenchView | undefined;
  #early: Channel | undefined;

  constructor(
    private readonly line: Line,
    entries: readonly SourceEntry[],
    private readonly intent: Intent,
  ) {
    this.element.append(h("h1", { class: "offscreen" }, "Connection"), new ConnectionCard(line).element, this.#hint, this.#transfers, this.#chooser);
    this.#watcher = {
      started: () => activity.started(),
      stopped: () => activity.stopped(),
      moved: (part) => activity.moved(part),
      path: () => line.path?.kind,
      over: (error) => (this.#wanted = error !== undefined && PERSONAL.includes(error.code)),
    };
    line.on("connected", (peer) => {
      this.used = true;
      this.#welcome(peer, entries);
      if (entries.length > 0) this.#send(entries);
    });
    line.on("channel", (channel) => {
      const measures = this.intent === "bench" || line.peer?.intent === "bench";
      if (channel.protocol === BENCH_PROTOCOL && measures && line.role === "host" && this.#bench === undefined) return this.#measure(line.measure(channel));
      if (channel.protocol !== CHAT_PROTOCOL || line.role !== "host") return channel.close();
      // It may overtake what says that the line is there.
      if (line.peer !== undefined && this.#chat === undefined) return channel.close();
      if (this.#chat === undefined) this.#early ??= channel;
      else this.#chat.attach(channel, line.role);
    });
    line.on("transfer", (transfer) => {
      this.#wanted = false;
      this.#hint.textContent = "";
      this.#transfers.prepend(incomingCard(transfer, this.#watcher));
    });
  }

  /** The line is gone; what was transferred stays on the screen. */
  close(error: PeerlineError | undefined): void {
    this.#hint.textContent = "";
    this.#chat?.close();
    const told = error === undefined || this.#pipe?.failed === true || this.#bench?.failed === true || (this.#wanted && NO_NEWS.includes(error.code));
    const end = told ? h("div", { class: "actions" }, button("primary", "Start again", start)) : failure(error);
    swap(this.#chooser, end, end);
  }

  #welcome(peer: Hello, entries: readonly SourceEntry[]): void {
    const { call } = this.line;
    if (peer.intent === "pipe" && this.intent === "any" && this.line.role === "guest") return this.#connectPipe(peer);
    // The guest decides what is measured, and opens the channel.
    if (peer.intent === "bench" || this.intent === "bench") return this.line.role === "guest" ? this.#measure(this.line.measure()) : undefined;
    const chats = peer.intent === "chat" || this.intent === "chat";
    if (chats || peer.engine === "browser") this.#openChat(chats);
    if (chats) return;
    if ((peer.intent === "call" || this.intent === "call") && call !== undefined) {
      this.element.classList.replace("narrow", "wide");
      this.#transfers.before(new CallView(this.line, call).element);
      return;
    }
    const takesFiles = peer.engine === "browser" || peer.intent === "receive-files" || peer.intent === "any";
    if (peer.intent === "send-files") this.#hint.textContent = "Waiting for the other side to offer its files…";
    else if (entries.length === 0 && takesFiles) this.#hint.textContent = "The other side is ready for your files.";
    else if (!takesFiles) this.#hint.textContent = "The other side did not come for files; this page cannot help it.";
    if (takesFiles) this.#chooser.replaceChildren(this.#chooserOf());
  }

  #connectPipe({ engine }: Hello): void {
    const pipe = this.line.pipe();
    this.#pipe = new PipeView(pipe, engine === "native" ? "the terminal" : "the other page");
    this.#transfers.before(this.#pipe.element);
    activity.started();
    pipe.on("done", () => {
      activity.stopped();
      // A guest hangs up when both are done.
      this.line.close();
    });
    pipe.on("failed", () => {
      activity.stopped();
      // Whoever was told why hangs up itself.
      setTimeout(() => this.line.close(), HANG_UP_MS);
    });
  }

  #measure(bench: Bench): void {
    this.#bench = new BenchView(bench);
    this.element.classList.replace("narrow", "wide");
    this.#transfers.before(this.#bench.element);
    activity.started();
    for (const end of ["done", "failed"] as const) bench.on(end, () => activity.stopped());
    // A guest hangs up when everything is measured.
    if (bench.side === "leader") bench.on("done", () => this.line.close());
  }

  /** The guest of the session opens the channel. */
  #openChat(open: boolean): void {
    this.#chat = new ChatView(open);
    // What is offered comes before what is folded away.
    if (open) this.#transfers.before(this.#chat.element);
    else this.#transfers.after(this.#chat.element);
    if (this.#early !== undefined) this.#chat.attach(this.#early, "host");
    if (this.line.role === "guest") this.#chat.attach(this.line.open(CHAT_LABEL, { protocol: CHAT_PROTOCOL }), "guest");
  }

  #chooserOf(): HTMLElement {
    const trouble = h("p", { class: "trouble", role: "alert" });
    const failed = (error: PeerlineError): void => void (trouble.textContent = `${error.message} ${error.hint}`);
    const chosen = (entries: SourceEntry[]): void => {
      trouble.textContent = "";
      this.#send(entries);
    };
    return h("section", { "aria-label": "Send files" }, chooser({ chosen, failed }), trouble);
  }

  #send(entries: readonly SourceEntry[]): void {
    this.#wanted = false;
    this.#hint.textContent = "";
    this.#transfers.prepend(outgoingCard(this.line.send(entries), this.#watcher));
  }
}

/** A code in the address is used once and taken out of it, so that it stays in no history and on no shared screen. */
function followLink(): void {
  const code = decodeURIComponentSafely(location.hash.slice(1));
  if (code === "") return;
  history.replaceState(null, "", location.pathname + location.search);
  if (current === undefined) join(code);
  else askFor(code);
}

/** What had the keyboard before the question. */
let before: Element | null = null;

/** There is a line already: only the person can say which one they want. */
function askFor(code: string): void {
  const id = uniqueId();
  const title = h("h2", { id }, "Open this link?");
  if (!question.contains(document.activeElement)) before = document.activeElement;
  const away = (): void => {
    question.replaceChildren();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  };
  const go = (): void => {
    question.replaceChildren();
    join(code);
  };
  const words = h("p", {}, "It leads to another line. Opening it ends the one you have here, and what it transfers.");
  const actions = [button("primary", "Open it", go), button("plain", "Stay here", away)];
  try {
    parseCode(code);
  } catch (error) {
    if (!(error instanceof PeerlineError)) throw error;
    title.textContent = "This link cannot be opened";
    words.textContent = `${error.message} ${error.hint}`;
    actions.shift();
  }
  question.replaceChildren(h("section", { class: "card question", "aria-labelledby": id }, title, words, h("div", { class: "actions" }, ...actions)));
  focusOn(title);
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * How long a page that is left stays for its goodbye. The browser hangs up the moment the event is over, and a goodbye
 * that arrives together with the hanging up is mostly not read; the network has threads of its own and goes on meanwhile.
 */
const GOODBYE_MS = 60;

function leave(): void {
  if (current === undefined && leaveRoom === undefined) return;
  current?.close();
  leaveRoom?.();
  const until = performance.now() + GOODBYE_MS;
  while (performance.now() < until);
}

window.addEventListener("pagehide", leave);
window.addEventListener("hashchange", followLink);
refuseStrayFiles();
main.replaceChildren(question, view);
const asked = new URLSearchParams(location.search).get("room");
if (asked === null) start();
else enter(asked);
followLink();
