/** What to send: files and folders as a page gets them, as entries with a way to read their bytes. */
import { PeerlineError } from "../errors.js";
import { MOST_ENTRIES } from "./manifest.js";
import { foldPath, pathFault } from "./paths.js";

/** One thing to send. */
export type SourceEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly file: File };

/** Entries for chosen files; those of an `<input webkitdirectory>` keep their folders. @throws PeerlineError */
export function sourceOfFiles(files: Iterable<File>): SourceEntry[] {
  return distinct(Array.from(files, (file) => ({ kind: "file" as const, path: file.webkitRelativePath || file.name, file })));
}

/**
 * Entries for what was dropped, folders included. Must be called in the drop event itself: the browser forgets the data
 * when the event is over. @throws PeerlineError
 */
export async function sourceOfDrop(data: DataTransfer): Promise<SourceEntry[]> {
  const roots = Array.from(data.items, (item) => (item.kind === "file" ? item.webkitGetAsEntry() : null));
  const found: SourceEntry[] = [];
  for (const root of roots) {
    if (root !== null) await walk(root, root.name, found);
  }
  return distinct(found);
}

async function walk(entry: FileSystemEntry, path: string, found: SourceEntry[]): Promise<void> {
  if (found.length >= MOST_ENTRIES) throw new PeerlineError("unsupported", `More than ${MOST_ENTRIES} files cannot be sent at once.`);
  if (entry.isFile) {
    found.push({ kind: "file", path, file: await fileOf(entry as FileSystemFileEntry) });
    return;
  }
  found.push({ kind: "directory", path });
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  // Chromium gives at most 100 entries a call; an empty answer is the end.
  for (let batch = await read(reader); batch.length > 0; batch = await read(reader)) {
    for (const child of batch) await walk(child, `${path}/${child.name}`, found);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, (error) => reject(unreadable(entry.name, error))));
}

function read(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise((resolve, reject) => reader.readEntries(resolve, (error) => reject(unreadable("a folder", error))));
}

function unreadable(name: string, error: DOMException): PeerlineError {
  return new PeerlineError("source-changed", `${name} cannot be read: ${error.message}`);
}

/** Two files of one name, chosen from different places, get a number each; names no receiver would take are refused. */
function distinct(entries: readonly SourceEntry[]): SourceEntry[] {
  const taken = new Set<string>();
  return entries.map((entry) => {
    const fault = pathFault(entry.path);
    if (fault !== undefined) {
      throw new PeerlineError("unsupported", `“${entry.path.slice(0, 80)}” cannot be sent: its name ${fault}.`, "Rename it and choose it again.");
    }
    let path = entry.path;
    for (let n = 2; taken.has(foldPath(path)); n++) path = numbered(entry.path, n);
    taken.add(foldPath(path));
    return { ...entry, path };
  });
}

function numbered(path: string, n: number): string {
  const dot = path.lastIndexOf(".");
  const cut = dot > path.lastIndexOf("/") + 1 ? dot : path.length;
  return `${path.slice(0, cut)} (${n})${path.slice(cut)}`;
}
