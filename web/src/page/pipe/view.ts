/** The card of a pipe: what comes and what goes, each with an end of its own. */
import type { PeerlineError, Pipe } from "peerline";
import { h } from "../dom.js";
import { Heard } from "./heard.js";
import { Said } from "./said.js";

/** The card, for as long as the page is there. */
export class PipeView {
  readonly element: HTMLElement;
  readonly #trouble = h("p", { class: "trouble", role: "alert" });
  #failed = false;

  /** `other` is what the other side is called. */
  constructor(pipe: Pipe, other: string) {
    const heard = new Heard(pipe, other);
    this.element = h("article", { class: "card pipe", "aria-label": "Pipe" }, this.#trouble, heard.element, new Said(pipe, other).element);
    pipe.on("failed", (error) => this.#fail(error));
    void heard.run();
  }

  /** Whether a failure is on the card, so that nobody else need tell it. */
  get failed(): boolean {
    return this.#failed;
  }

  #fail(error: PeerlineError): void {
    this.#failed = true;
    this.#trouble.textContent = `${error.message} ${error.hint}`;
    if (error.code !== "cancelled") this.element.classList.add("failure");
  }
}
