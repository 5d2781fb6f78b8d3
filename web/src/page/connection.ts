/** The state of the line in words, the phrase to compare, and the way out. */
import { type Hello, type Line, type LineState, type Path, cleaned } from "peerline";
import { button, focusOn, foreign, h } from "./dom.js";

const WORDS: Readonly<Record<LineState, string>> = {
  joining: "Reaching the server…",
  waiting: "Waiting for the other side…",
  pairing: "Checking the code…",
  connecting: "Looking for a path to the other side…",
  connected: "Connected",
  interrupted: "Connection lost; looking for the other side again…",
  closed: "Closed",
};

/** The card at the top while there is a line. */
export class ConnectionCard {
  readonly element: HTMLElement;
  readonly #dot = h("span", { class: "dot busy", "aria-hidden": "true" });
  readonly #state = h("strong", {});
  readonly #detail = h("span", { class: "detail" });
  readonly #phrase = h("p", { class: "phrase" });
  readonly #verify = h(
    "details",
    { class: "verify", hidden: true },
    h("summary", {}, "Verify"),
    h("p", {}, "Nobody is in between exactly when both sides see these six words:"),
    this.#phrase,
  );
  readonly #leave: HTMLButtonElement;
  #peer: Hello | undefined;
  #path: Path | undefined;
  #counter: ReturnType<typeof setInterval> | undefined;

  constructor(line: Line) {
    this.#leave = button("plain", "Disconnect", () => line.close());
    this.element = h(
      "section",
      { class: "card connection", "aria-label": "Connection" },
      h("div", { class: "connection-head" }, h("p", { class: "state", role: "status" }, this.#dot, this.#state, this.#detail), this.#leave),
      this.#verify,
    );
    this.#show(line.state);
    line.on("state", (state) => this.#show(state));
    line.on("connected", (peer) => {
      this.#peer = peer;
      this.#phrase.textContent = line.phrase ?? "";
      this.#verify.hidden = false;
      this.#describe();
    });
    line.on("path", (path) => {
      this.#path = path;
      this.#describe();
    });
    line.on("closed", () => {
      // What has the keyboard is about to go.
      if (document.activeElement === this.#leave) focusOn(this.#state);
      this.#leave.hidden = true;
      this.#detail.textContent = "";
    });
  }

  #show(state: LineState): void {
    clearInterval(this.#counter);
    this.#counter = undefined;
    this.#state.textContent = WORDS[state];
    if (state === "interrupted") this.#count();
    else this.#describe();
    this.#dot.className = `dot ${state === "connected" ? "good" : state === "closed" ? "off" : "busy"}`;
    this.#leave.textContent = state === "connected" || state === "interrupted" ? "Disconnect" : "Cancel";
  }

  /** How long the other side is missing; out of the way of those who are read every change of the state. */
  #count(): void {
    const since = performance.now();
    const show = (): void => {
      const seconds = Math.round((performance.now() - since) / 1000);
      this.#detail.replaceChildren(h("span", { "aria-hidden": "true" }, ` (${seconds} s)`));
    };
    show();
    this.#counter = setInterval(show, 1_000);
  }

  #describe(): void {
    if (this.#peer === undefined || this.#counter !== undefined) return;
    const device = this.#peer.engine === "browser" ? "a browser" : "a terminal";
    const path = this.#path === undefined ? "" : ` · ${this.#path.kind}`;
    const rtt = this.#path?.rttMs === undefined ? "" : ` · ${Math.max(1, Math.round(this.#path.rttMs))}\u00a0ms`;
    this.#detail.replaceChildren(` to ${device}${path}${rtt}`);
    this.#detail.title = cleaned(this.#peer.agent, 64);
    this.#detail.append(h("span", { class: "offscreen" }, " running ", foreign(cleaned(this.#peer.agent, 64))));
  }
}
