/** "Save to a folder…": what others have there stays as it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../src/sdk/bytes.js";
import type { Entry, Manifest } from "../src/sdk/files/manifest.js";
import { FolderSink } from "../src/sdk/files/sink-folder.js";
import { Directory, Locks } from "./directory.js";

// Node.js 20 has no `navigator`, later ones no locks.
Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true });

const TAKEN = { code: "storage", message: /is already in this folder/ };

/** Files by path, each with its text; a path that ends in a slash is a directory. */
function manifestOf(tree: Readonly<Record<string, string>>): Manifest {
  const entries = Object.entries(tree).map(([path, text]): Entry =>
    path.endsWith("/") ? { kind: "directory", path: path.slice(0, -1) } : { kind: "file", path, size: utf8(text).length },
  );
  const files = entries.filter(({ kind }) => kind === "file").length;
  const bytes = entries.reduce((total, entry) => total + (entry.kind === "file" ? entry.size : 0), 0);
  return { title: "t", files, directories: entries.length - files, bytes, blockSize: 65_536, entries };
}

/** Writes the text of one file. */
function write(sink: FolderSink, tree: Readonly<Record<string, string>>, path: string): Promise<void> {
  return sink.write(Object.keys(tree).indexOf(path), 0, utf8(tree[path] ?? ""));
}

async function opened(folder: Directory, tree: Readonly<Record<string, string>>): Promise<FolderSink> {
  const sink = new FolderSink(folder.handle);
  await sink.open(manifestOf(tree));
  return sink;
}

const TREE = { "notes.txt": "our notes", "none.txt": "", "photos/a.jpg": "our a", "photos/b.jpg": "our b", "photos/none": "", "photos/deep/c.jpg": "our c", "empty/": "" };

test("a tree is made below a folder, whatever block comes first, and nothing of it stays when it is cancelled", async () => {
  const folder = new Directory();
  folder.put("theirs", "1");
  const sink = await opened(folder, TREE);
  await Promise.all(["photos/deep/c.jpg", "photos/b.jpg", "photos/a.jpg"].map((path) => write(sink, TREE, path)));
  const notes = utf8(TREE["notes.txt"]);
  await Promise.all([sink.write(0, 4, notes.slice(4)), sink.write(0, 0, notes.slice(0, 4))]);
  assert.deepEqual(folder.tree(), { theirs: "1", ...TREE });
  await sink.abort();
  assert.deepEqual(folder.tree(), { theirs: "1" });
});

const CLASHES: readonly [string, (folder: Directory) => void][] = [
  ["a file", (folder) => folder.put("notes.txt", "theirs")],
  ["a directory", (folder) => folder.dir("photos").put("a.jpg", "theirs")],
  ["a directory with the name of a file", (folder) => folder.dir("notes.txt").put("x", "theirs")],
  ["a file with the name of a directory", (folder) => folder.put("photos", "theirs")],
];
for (const [name, clash] of [...CLASHES, ["a file in another case", (folder: Directory) => folder.put("Notes.TXT", "theirs")] as const]) {
  test(`nothing is made where there is ${name}`, async () => {
    const folder = new Directory();
    clash(folder);
    const before = folder.tree();
    const sink = new FolderSink(folder.handle);
    await assert.rejects(sink.open(manifestOf(TREE)), TAKEN);
    assert.deepEqual(folder.tree(), before);
    await sink.abort();
    assert.deepEqual(folder.tree(), before);
  });
}
for (const [name, clash] of CLASHES) {
  test(`nothing stays where somebody makes ${name} once the folder was looked at`, async () => {
    const folder = new Directory();
    folder.asked.set("first", () => clash(folder));
    const sink = new FolderSink(folder.handle);
    await assert.rejects(sink.open(manifestOf({ first: "first", ...TREE })), TAKEN);
    await sink.abort();
    const theirs = new Directory();
    clash(theirs);
    assert.deepEqual(folder.tree(), theirs.tree());
  });
}

for (const [path, intrude] of [
  ["notes.txt", (folder: Directory) => folder.put("notes.txt", "theirs")],
  ["photos/a.jpg", (folder: Directory) => folder.dir("photos").put("a.jpg", "theirs")],
  ["photos/deep/c.jpg", (folder: Directory) => folder.dir("photos").dir("deep").put("x", "theirs")],
] as const) {
  test(`what somebody puts in the place of ${path} after it was accepted is neither replaced nor removed`, async () => {
    const folder = new Directory();
    const sink = await opened(folder, TREE);
    intrude(folder);
    await write(sink, TREE, "photos/b.jpg");
    await assert.rejects(write(sink, TREE, path), TAKEN);
    await sink.abort();
    const theirs = new Directory();
    intrude(theirs);
    assert.deepEqual(folder.tree(), theirs.tree());
  });
}

test("what somebody adds to our directories or changes in our files stays", async () => {
  const folder = new Directory();
  const sink = await opened(folder, TREE);
  for (const path of ["notes.txt", "photos/a.jpg", "photos/b.jpg"]) await write(sink, TREE, path);
  folder.put("notes.txt", "our notEs");
  folder.dir("photos").put("theirs", "1");
  await sink.abort();
  assert.deepEqual(folder.tree(), { "notes.txt": "our notEs", "photos/theirs": "1" });
});

test("of two transfers into one folder that both have photos one gets it, and the other takes nothing away", async () => {
  const folder = new Directory();
  const trees = [{ "photos/a.jpg": "first", "photos/z.jpg": "first" }, { "one.txt": "second", "photos/a.jpg": "second" }];
  const sinks = trees.map(() => new FolderSink(folder.handle));
  const results = await Promise.allSettled(sinks.map((sink, i) => sink.open(manifestOf(trees[i] ?? {}))));
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  const [first, second] = sinks;
  assert.ok(first !== undefined && second !== undefined);
  await write(first, trees[0] ?? {}, "photos/a.jpg");
  await second.abort();
  await write(first, trees[0] ?? {}, "photos/z.jpg");
  assert.deepEqual(folder.tree(), trees[0]);
});

test("a transfer that is cancelled while its files are begun, written or closed leaves nothing", async () => {
  for (let turns = 0; turns < 14; turns++) {
    const folder = new Directory();
    const sink = await opened(folder, TREE);
    const writes = Promise.allSettled(["notes.txt", "photos/a.jpg", "photos/deep/c.jpg"].map((path) => write(sink, TREE, path)));
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
    await sink.abort();
    await writes;
    assert.deepEqual(folder.tree(), {}, `after ${turns} turns`);
  }
});
