/** A directory in memory, as far as sinks use one. Handles are paths: what is behind one may be another file by now. */

interface Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lastModified: number;
}

let clock = 0;

function fault(name: string): DOMException {
  return new DOMException(name, name);
}

/** Every step takes a turn of the event loop, so that others come in between. */
function turn(): Promise<void> {
  return new Promise(setImmediate);
}

/** What somebody else does to a directory takes no time. */
export class Directory {
  readonly kind = "directory";
  readonly #entries = new Map<string, Content | Directory>();
  /** Called once, when somebody asks for this name. */
  readonly asked = new Map<string, () => void>();

  get handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }

  /** Puts a file there, whatever was there before. */
  put(name: string, text: string): void {
    this.set(name, new TextEncoder().encode(text));
  }

  set(name: string, bytes: Uint8Array<ArrayBuffer>): void {
    this.#entries.set(name, { bytes, lastModified: ++clock });
  }

  /** The directory of that name, which is made. */
  dir(name: string): Directory {
    const there = this.#entries.get(name);
    if (there instanceof Directory) return there;
    const made = new Directory();
    this.#entries.set(name, made);
    return made;
  }

  /** Everything in it: text by path. */
  tree(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, entry] of this.#entries) {
      if (!(entry instanceof Directory)) found[name] = new TextDecoder().decode(entry.bytes);
      else if (entry.#entries.size === 0) found[`${name}/`] = "";
      else for (const [path, text] of Object.entries(entry.tree())) found[`${name}/${path}`] = text;
    }
    return found;
  }

  content(name: string): Content {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw fault("NotFoundError");
    if (entry instanceof Directory) throw fault("TypeMismatchError");
    return entry;
  }

  async *keys(): AsyncGenerator<string> {
    for (const name of [...this.#entries.keys()]) {
      await turn();
      yield name;
    }
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FileHandle> {
    await this.#ask(name);
    if (create && !this.#entries.has(name)) this.put(name, "");
    this.content(name);
    return new FileHandle(this, name);
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<Directory> {
    await this.#ask(name);
    const entry = this.#entries.get(name);
    if (entry === undefined && !create) throw fault("NotFoundError");
    if (entry !== undefined && !(entry instanceof Directory)) throw fault("TypeMismatchError");
    return this.dir(name);
  }

  async removeEntry(name: string, { recursive = false } = {}): Promise<void> {
    await turn();
    const entry = this.#entries.get(name);
    if (entry === undefined) throw fault("NotFoundError");
    if (entry instanceof Directory && entry.#entries.size > 0 && !recursive) throw fault("InvalidModificationError");
    this.#entries.delete(name);
  }

  async #ask(name: string): Promise<void> {
    await turn();
    this.asked.get(name)?.();
    this.asked.delete(name);
  }
}

class FileHandle {
  constructor(
    private readonly parent: Directory,
    private readonly name: string,
  ) {}

  async getFile(): Promise<{ size: number; lastModified: number }> {
    await turn();
    const { bytes, lastModified } = this.parent.content(this.name);
    return { size: bytes.length, lastModified };
  }

  async createWritable(): Promise<Stream> {
    await turn();
    this.parent.content(this.name);
    return new Stream((bytes) => this.parent.set(this.name, bytes));
  }
}

/** What is written is in place when it is closed. */
class Stream {
  #bytes = new Uint8Array();
  #state: "open" | "closed" | "aborted" = "open";

  constructor(private readonly place: (bytes: Uint8Array<ArrayBuffer>) => void) {}

  async write({ position, data }: { position: number; data: Uint8Array<ArrayBuffer> }): Promise<void> {
    await turn();
    if (this.#state !== "open") throw new TypeError("not open");
    const longer = new Uint8Array(Math.max(this.#bytes.length, position + data.length));
    longer.set(this.#bytes);
    longer.set(data, position);
    this.#bytes = longer;
  }

  async close(): Promise<void> {
    await turn();
    if (this.#state !== "open") throw new TypeError("not open");
    this.#state = "closed";
    this.place(this.#bytes);
  }

  async abort(): Promise<void> {
    await turn();
    if (this.#state === "open") this.#state = "aborted";
  }
}

/** As much of `navigator.locks` as sinks use. */
export class Locks {
  #last: Promise<unknown> = Promise.resolve();

  request<T>(_name: string, work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
