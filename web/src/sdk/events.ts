/** A small typed `EventTarget`: events are plain values, `on` returns the function that takes the listener off. */
export class Events<Map> {
  #listeners: { [Name in keyof Map]?: Set<(detail: Map[Name]) => void> } = {};

  /** Calls `listener` on every event `name` until the returned function is called. */
  on<Name extends keyof Map>(name: Name, listener: (detail: Map[Name]) => void): () => void {
    const listeners = (this.#listeners[name] ??= new Set());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Resolves with the next event `name`. */
  once<Name extends keyof Map>(name: Name): Promise<Map[Name]> {
    return new Promise((resolve) => {
      const off = this.on(name, (detail) => {
        off();
        resolve(detail);
      });
    });
  }

  /** Calls the listeners in the order in which they came. One that throws is reported, not fatal to the others. */
  protected emit<Name extends keyof Map>(name: Name, detail: Map[Name]): void {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
      try {
        listener(detail);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
