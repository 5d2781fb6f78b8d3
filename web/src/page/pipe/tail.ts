/** The newest text of a stream of bytes, for as long as it is text. Pure. */
import { legible } from "peerline";

/** Characters that are kept, which is what can be read back. */
export const MOST_KEPT = 1024 * 1024;

/** Takes bytes, gives text. */
export class Tail {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #pending: string[] = [];
  #size = 0;
  /** A line may end in two characters that come apart. */
  #held = "";
  #binary = false;
  #skipped = false;

  /** Whether something came that is no text. */
  get binary(): boolean {
    return this.#binary;
  }

  /** Some came. */
  push(bytes: Uint8Array): void {
    if (this.#binary) return;
    try {
      this.#add(this.#decoder.decode(bytes, { stream: true }));
    } catch {
      this.#becomeBinary();
    }
  }

  /** There is no more. */
  end(): void {
    if (this.#binary) return;
    try {
      this.#add(`${this.#decoder.decode()}`);
    } catch {
      this.#add("\ufffd");
    }
    if (this.#held !== "") this.#put(this.#held);
    this.#held = "";
  }

  /** What came since it was asked last, harmless to show; with a `gap` before it if more came than can be kept. */
  take(): { readonly text: string; readonly gap: boolean } {
    const taken = { text: this.#pending.join(""), gap: this.#skipped };
    this.#pending = [];
    this.#size = 0;
    this.#skipped = false;
    return taken;
  }

  #add(text: string): void {
    // No text has it, and most of what is none does.
    if (text.includes("\0")) return this.#becomeBinary();
    const whole = this.#held + text;
    this.#held = whole.endsWith("\r") ? "\r" : "";
    this.#put(this.#held === "" ? whole : whole.slice(0, -1));
  }

  #put(text: string): void {
    if (text === "") return;
    const shown = legible(text);
    this.#pending.push(shown);
    this.#size += shown.length;
    while (this.#size > MOST_KEPT && this.#pending.length > 1) {
      this.#size -= this.#pending.shift()?.length ?? 0;
      this.#skipped = true;
    }
  }

  #becomeBinary(): void {
    this.#binary = true;
    this.take();
  }
}
