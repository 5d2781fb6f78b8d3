/**
 * Files and directories that were not there before. They are ours as long as they are as we left them: what somebody else
 * put in their place is neither replaced nor removed. A browser cannot make a file only if there is none, so this does
 * not see what another program does in the instant between the look and the making.
 */
import { PeerlineError } from "../errors.js";

/** A file of ours. */
export class ClaimedFile {
  #stream: FileSystemWritableFileStream | undefined;
  #closing: Promise<void> | undefined;
  /** As we left it. Empty until it is closed: what a stream writes is kept elsewhere until then. */
  #size = 0;
  #modified: number | undefined;

  constructor(
    private readonly path: string,
    private readonly handle: FileSystemFileHandle,
  ) {}

  async open(): Promise<void> {
    this.#stream = await this.handle.createWritable();
  }

  async write(position: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#stream?.write({ type: "write", position, data });
  }

  /** Puts in place what was written. @throws PeerlineError if there is something else by now */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Forgets what was written, unless it is in place. */
  async abort(): Promise<void> {
    await this.#closing?.catch(() => undefined);
    await this.#stream?.abort();
  }

  /** Whether nobody else wrote to it. */
  async isOurs(): Promise<boolean> {
    const { size, lastModified } = await this.handle.getFile();
    return size === this.#size && (this.#modified === undefined || lastModified === this.#modified);
  }

  async #close(): Promise<void> {
    if (!(await this.isOurs())) throw taken(this.path);
    await this.#stream?.close();
    const { size, lastModified } = await this.handle.getFile();
    this.#size = size;
    this.#modified = lastModified;
  }
}

interface Made {
  readonly parent: FileSystemDirectoryHandle;
  readonly name: string;
  /** Absent for a directory. */
  readonly file?: ClaimedFile;
}

/** Everything that one transfer made. */
export class Claims {
  readonly #made: Made[] = [];

  /** Makes the file at `path`, which is in `parent`. @throws PeerlineError if there is something */
  async file(parent: FileSystemDirectoryHandle, path: string): Promise<ClaimedFile> {
    const name = await freeName(parent, path);
    const file = new ClaimedFile(path, await parent.getFileHandle(name, { create: true }));
    this.#made.push({ parent, name, file });
    return file;
  }

  /** Makes the directory at `path`, which is in `parent`. @throws PeerlineError if there is something */
  async directory(parent: FileSystemDirectoryHandle, path: string): Promise<FileSystemDirectoryHandle> {
    const name = await freeName(parent, path);
    const directory = await parent.getDirectoryHandle(name, { create: true });
    this.#made.push({ parent, name });
    return directory;
  }

  /** Removes everything that is still ours. Whatever cannot be removed stays, as does a directory with something in it. */
  async remove(): Promise<void> {
    // What is in a directory was made after it.
    for (const made of this.#made.reverse()) await removeOurs(made).catch(() => undefined);
  }
}

async function removeOurs({ parent, name, file }: Made): Promise<void> {
  if (file === undefined || (await file.isOurs())) await parent.removeEntry(name);
}

/** The failure for a name that somebody else uses. */
export function taken(path: string): PeerlineError {
  return new PeerlineError("storage", `“${path}” is already in this folder.`, "Choose another folder, or rename what is there.");
}

async function freeName(parent: FileSystemDirectoryHandle, path: string): Promise<string> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  try {
    await parent.getFileHandle(name);
  } catch (error) {
    const reason = error instanceof DOMException ? error.name : undefined;
    if (reason === "NotFoundError") return name;
    // Anything but a directory of that name.
    if (reason !== "TypeMismatchError") throw error;
  }
  throw taken(path);
}
