/** What goes through a pipe: lines that are typed, files that are chosen or dropped, and the end. */
import { PeerlineError, type Pipe, type SourceEntry } from "peerline";
import { announce } from "../announce.js";
import { chooser } from "../chooser.js";
import { button, focusOn, h, isEnter, uniqueId } from "../dom.js";
import { bytes } from "../format.js";

/** Characters that wait because the other side reads nothing. */
const MOST_WAITING = 1024 * 1024;
const SHOW_MS = 200;

/** One half of the card. */
export class Said {
  readonly element: HTMLElement;
  readonly #title: HTMLElement;
  readonly #status = h("p", { class: "status" });
  readonly #trouble = h("p", { class: "trouble", role: "alert" });
  readonly #field = h("textarea", { rows: "1", placeholder: "Write a line", autocapitalize: "none", autocorrect: "off", spellcheck: "false" });
  readonly #controls: HTMLElement;
  readonly #writer: WritableStreamDefaultWriter<ArrayBuffer | ArrayBufferView<ArrayBuffer>>;
  /** One thing after the other, in the order in which a person gave them. */
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;
  #files = 0;

  constructor(
    private readonly pipe: Pipe,
    to: string,
  ) {
    this.#writer = pipe.writable.getWriter();
    const [id, field] = [uniqueId(), uniqueId()];
    this.#field.id = field;
    this.#title = h("h2", { id }, `To ${to}`);
    const form = h("form", { class: "say" }, h("label", { for: field, class: "offscreen" }, "Text to send"), this.#field, h("button", { type: "submit", class: "primary" }, "Send"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#line();
    });
    this.#field.addEventListener("keydown", (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      this.#line();
    });
    this.#field.addEventListener("input", () => this.#grow());
    const files = chooser({ chosen: (entries) => this.#send(entries), failed: (error) => this.#complain(`${error.message} ${error.hint}`), folders: false });
    this.#controls = h("div", { class: "controls" }, form, files, h("div", { class: "actions" }, button("plain", "Done", () => this.#end()), h("span", { class: "hint" }, "Ends what you send; the other side can go on.")));
    this.element = h("section", { "aria-labelledby": id }, this.#title, this.#status, this.#controls, this.#trouble);
    pipe.on("failed", () => this.#over("It broke off: the other side may not have everything that you sent.", "bad"));
  }

  #line(): void {
    const text = this.#field.value;
    if (this.#waiting + text.length > MOST_WAITING) return this.#complain("The other side takes nothing at the moment. Try again in a while.");
    this.#complain("");
    this.#field.value = "";
    this.#grow();
    this.#waiting += text.length + 1;
    this.#next(async () => {
      await this.#writer.write(new TextEncoder().encode(`${text}\n`));
      this.#waiting -= text.length + 1;
      this.#say();
    });
  }

  #send(entries: readonly SourceEntry[]): void {
    const files = entries.flatMap((entry) => (entry.kind === "file" ? [entry.file] : []));
    // A folder that is dropped takes a while to be read.
    if (!this.#controls.isConnected) return;
    if (files.length < entries.length) return this.#complain("A folder cannot go through a pipe. Choose its files.");
    if (this.#files > 0) return this.#complain("A file is on its way already. Try again when it is through.");
    this.#complain("");
    this.#files = files.length;
    for (const file of files) this.#next(() => this.#file(file));
  }

  async #file(file: File): Promise<void> {
    const before = this.pipe.sent;
    const showing = setInterval(() => this.#sending(this.pipe.sent - before, file.size), SHOW_MS);
    const reader = file.stream().getReader();
    try {
      for (;;) {
        const { value } = await reader.read().catch((error: unknown) => {
          throw new PeerlineError("source-changed", `“${file.name}” cannot be read any more: ${error instanceof Error ? error.message : String(error)}`);
        });
        if (value === undefined) break;
        await this.#writer.write(value);
      }
    } catch (error) {
      // The other side has a part of it, which must not look like the whole.
      this.pipe.stop(error);
      throw error;
    } finally {
      clearInterval(showing);
      this.#files -= 1;
    }
    this.#say();
  }

  #end(): void {
    this.#over("You are done. Waiting until the other side has everything…");
    this.#next(async () => {
      await this.#writer.close();
      this.#over(`You are done: the other side has everything, ${bytes(this.pipe.sent)}.`, "good");
    });
  }

  #sending(sent: number, size: number): void {
    if (!this.element.classList.contains("bad")) this.#status.textContent = `Sending a file: ${bytes(sent)} of ${bytes(size)}`;
  }

  /** Nothing more can be sent. */
  #over(words: string, kind?: "good" | "bad"): void {
    if (this.element.classList.contains("good")) return;
    const held = this.#controls.contains(document.activeElement);
    this.#controls.remove();
    this.#complain("");
    if (held) focusOn(this.#title);
    this.#status.textContent = words;
    if (kind !== undefined) this.element.classList.add(kind);
    announce(words);
  }

  /** A failure is the pipe's, which says it. */
  #next(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work);
    this.#queue.catch(() => undefined);
  }

  #say(): void {
    if (this.#controls.isConnected) this.#status.textContent = `${bytes(this.pipe.sent)} sent`;
  }

  #complain(words: string): void {
    this.#trouble.textContent = words;
  }

  #grow(): void {
    this.#field.style.height = "auto";
    this.#field.style.height = `${Math.min(this.#field.scrollHeight + 2, 160)}px`;
  }
}
