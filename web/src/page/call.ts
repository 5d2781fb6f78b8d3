/** The view of a call: the other side large, this side small, and everything that can be turned on and off. */
import type { Call, Kind, Line } from "peerline";
import { announce } from "./announce.js";
import { focusOn, h, uniqueId } from "./dom.js";
import { OwnSide } from "./own-side.js";

/** How often the figures under the picture change. */
const QUALITY_MS = 2_000;

/** The card of a call, from the connection to its end. */
export class CallView {
  readonly element: HTMLElement;
  readonly #remote = h("video", { autoplay: true, playsinline: true, "aria-label": "The other side" });
  readonly #empty = h("p", { class: "empty" }, "The other side sends no picture yet.");
  readonly #quality = h("p", { class: "quality" });
  readonly #title: HTMLElement;
  readonly #own: OwnSide;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    line: Line,
    private readonly call: Call,
  ) {
    const id = uniqueId();
    this.#title = h("h2", { id, class: "offscreen" }, "Call");
    const words = {
      lead: "The other side can be seen and heard as soon as it sends. How do you want to take part?",
      leave: "Hang up",
      joined: "You are in the call.",
    };
    this.#own = new OwnSide(call, this.#title, words, () => this.#unmute(), () => line.close());
    this.element = h(
      "section",
      { class: "card call", "aria-labelledby": id },
      this.#title,
      h("div", { class: "stage" }, this.#remote, this.#empty, this.#own.preview),
      this.#quality,
      this.#own.bar,
      this.#own.trouble,
    );
    // Without a touch of the person, browsers play nothing that sounds.
    this.#remote.muted = true;
    this.#remote.srcObject = call.remote;
    call.on("remote", (kind) => this.#showRemote(kind));
    this.#showRemote("video");
    this.#timer = setInterval(() => void this.#measure(), QUALITY_MS);
    line.on("closed", () => this.#close());
  }

  /** Something may sound from now on. */
  #unmute(): void {
    this.#remote.muted = false;
    void this.#remote.play().catch(() => undefined);
  }

  #showRemote(kind: Kind): void {
    const has = this.call.remote.getVideoTracks().length > 0;
    this.#empty.hidden = has;
    this.#remote.classList.toggle("blank", !has);
    if (!has) this.#quality.textContent = "";
    if (kind === "video") announce(has ? "The other side sends a picture." : "The other side sends no picture.");
    // An element that lost its picture and got another one may have stopped.
    if (has) void this.#remote.play().catch(() => undefined);
  }

  async #measure(): Promise<void> {
    const quality = await this.call.quality();
    if (quality === undefined || this.call.remote.getVideoTracks().length === 0) return;
    const lost = quality.lost >= 0.005 ? ` · ${Math.round(quality.lost * 100)} % lost` : "";
    this.#quality.textContent = `${quality.width} × ${quality.height} · ${Math.round(quality.rate)} pictures a second${lost}`;
  }

  #close(): void {
    clearInterval(this.#timer);
    this.#own.close();
    if (this.element.contains(document.activeElement)) focusOn(this.#title);
    this.element.remove();
  }
}
