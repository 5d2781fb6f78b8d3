/** Timers by name, all of which end with their owner. */
export class Timers {
  readonly #running = new Map<string, ReturnType<typeof setTimeout>>();

  /** Does this once; in the place of what `name` stood for. */
  after(name: string, ms: number, run: () => void): void {
    this.clear(name);
    this.#running.set(name, setTimeout(run, ms));
  }

  /** Does this again and again; in the place of what `name` stood for. */
  every(name: string, ms: number, run: () => void): void {
    this.clear(name);
    this.#running.set(name, setInterval(run, ms));
  }

  clear(name: string): void {
    clearInterval(this.#running.get(name));
    this.#running.delete(name);
  }

  /** Ends all of them. */
  stop(): void {
    for (const name of [...this.#running.keys()]) this.clear(name);
  }
}
