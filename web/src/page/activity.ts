/** While data moves: the screen stays on, the tab asks before it closes, and its title shows how far it is. */

/** Counts running transfers. */
export class Activity {
  #running = 0;
  #lock: WakeLockSentinel | undefined;
  readonly #title = document.title;

  constructor() {
    window.addEventListener("beforeunload", (event) => {
      if (this.#running > 0) event.preventDefault();
    });
    // The browser takes the lock back when the tab is hidden.
    document.addEventListener("visibilitychange", () => void this.#update());
  }

  started(): void {
    this.#running++;
    void this.#update();
  }

  stopped(): void {
    this.#running--;
    if (this.#running === 0) document.title = this.#title;
    void this.#update();
  }

  moved(part: number): void {
    document.title = `${Math.floor(part * 100)} % · ${this.#title}`;
  }

  async #update(): Promise<void> {
    const wanted = this.#running > 0 && document.visibilityState === "visible";
    try {
      if (wanted && (this.#lock === undefined || this.#lock.released)) {
        this.#lock = await (navigator.wakeLock as WakeLock | undefined)?.request("screen");
      } else if (!wanted) {
        await this.#lock?.release();
        this.#lock = undefined;
      }
    } catch {
      // Low battery or an insecure context: the transfer works without.
    }
  }
}
