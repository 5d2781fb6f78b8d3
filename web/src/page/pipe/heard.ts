/** What comes through a pipe: shown while it comes, as far as it is text, and kept to be saved. */
import { type Pipe, downloadStore } from "peerline";
import { announce } from "../announce.js";
import { focusOn, h, uniqueId } from "../dom.js";
import { bytes } from "../format.js";
import { Keeper } from "./keeper.js";
import { MOST_KEPT, Tail } from "./tail.js";

/** How often the screen follows what comes, at most: people see no more. */
const SHOW_MS = 200;
/** Laying out a MiB takes 0.05 to 0.2 s: the rest of the time is for what comes. */
const SHARE = 4;
/** Characters in one piece of the text, so that the oldest can go. */
const PIECE = 64 * 1024;

/** One half of the card. */
export class Heard {
  readonly element: HTMLElement;
  /** Not a live region: it changes five times a second. */
  readonly #status = h("p", { class: "status" }, "Nothing has come yet.");
  readonly #title: HTMLElement;
  readonly #text: HTMLElement;
  readonly #note = h("p", { class: "hint" });
  readonly #actions = h("div", { class: "actions" });
  readonly #tail = new Tail();
  #showing: ReturnType<typeof setTimeout> | undefined;
  #shown = 0;
  #isCut = false;

  constructor(
    private readonly pipe: Pipe,
    from: string,
  ) {
    const id = uniqueId();
    this.#title = h("h2", { id }, `From ${from}`);
    this.#text = h("pre", { class: "stream", role: "region", "aria-label": `What comes from ${from}`, tabindex: "0", translate: "no", hidden: true });
    this.element = h("section", { "aria-labelledby": id }, this.#title, this.#status, this.#text, this.#note, this.#actions);
  }

  /** Reads to the end, and says that everything is kept. What came can be saved, also if there is no end. */
  async run(): Promise<void> {
    const keeper = new Keeper(await downloadStore());
    this.#follow(SHOW_MS);
    try {
      const blob = await this.#read(keeper);
      this.pipe.take();
      this.#end(`The other side is done: ${much(keeper.kept)} came, and that is all of it.`, "good");
      const link = blob === undefined ? undefined : this.#offer("Save as a file", blob);
      // What was not to be seen here is only there.
      if (link !== undefined && (this.#tail.binary || this.#isCut)) {
        link.click();
        link.textContent = "Save again";
      }
    } catch (error) {
      // If it is the pipe that has failed, this changes nothing.
      this.pipe.stop(error);
      this.#end(`It broke off after ${much(keeper.kept)}: this is not all of it.`, "bad");
      const blob = await keeper.finish().catch(() => undefined);
      if (blob !== undefined) this.#offer("Save what came", blob);
      else if (this.#note.textContent !== "") this.#note.textContent = "What is not shown here is lost.";
    }
  }

  async #read(keeper: Keeper): Promise<Blob | undefined> {
    await keeper.open();
    const reader = this.pipe.readable.getReader();
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined) return keeper.finish();
      this.#tail.push(value);
      await keeper.keep(value);
    }
  }

  #follow(wait: number): void {
    this.#showing = setTimeout(() => {
      const before = performance.now();
      this.#show();
      this.#follow(Math.max(SHOW_MS, SHARE * (performance.now() - before)));
    }, wait);
  }

  #show(): void {
    const { received } = this.pipe;
    if (received > 0) this.#status.textContent = `${bytes(received)} so far`;
    if (this.#tail.binary) return this.#hide();
    const { text, gap } = this.#tail.take();
    if (text === "") return;
    this.#text.hidden = false;
    // Who reads what was before is not torn away from it.
    const atEnd = this.#text.scrollHeight - this.#text.scrollTop - this.#text.clientHeight < 40;
    // What follows would look like the next line of it.
    while (gap && this.#shown > 0) this.#drop();
    if (gap) this.#cut();
    for (let at = 0; at < text.length; at += PIECE) this.#append(text.slice(at, at + PIECE));
    while (this.#shown > MOST_KEPT) this.#drop();
    if (atEnd) this.#text.scrollTop = this.#text.scrollHeight;
  }

  #hide(): void {
    if (this.#text.hidden && this.#note.textContent !== "") return;
    if (this.#text.contains(document.activeElement)) focusOn(this.#title);
    this.#text.replaceChildren();
    this.#text.hidden = true;
    this.#note.textContent = "This is not text, so it is not shown here. It can be saved.";
    announce(this.#note.textContent);
  }

  #append(text: string): void {
    const last = this.#text.lastChild;
    if (last instanceof Text && last.length + text.length <= PIECE) last.appendData(text);
    else this.#text.append(text);
    this.#shown += text.length;
  }

  #drop(): void {
    const first = this.#text.firstChild;
    first?.remove();
    // An extension of the browser may have put something else around it.
    this.#shown = first === null ? 0 : this.#shown - (first.textContent?.length ?? 0);
    this.#cut();
  }

  #cut(): void {
    this.#isCut = true;
    this.#note.textContent = "Only the newest part is shown here. All of it can be saved.";
  }

  #end(words: string, kind: "good" | "bad"): void {
    clearTimeout(this.#showing);
    this.#tail.end();
    this.#show();
    this.#status.textContent = words;
    this.element.classList.add(kind);
    announce(words);
  }

  #offer(label: string, blob: Blob): HTMLElement {
    const name = this.#tail.binary ? "pipe.bin" : "pipe.txt";
    const link = h("a", { class: "button", href: URL.createObjectURL(blob), download: name }, label);
    this.#actions.replaceChildren(link);
    return link;
  }
}

function much(count: number): string {
  return count === 0 ? "nothing" : bytes(count);
}
