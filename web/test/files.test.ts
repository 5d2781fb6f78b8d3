import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 as reference } from "node:zlib";
import { concat, toHex, u32, u64, utf8 } from "../src/sdk/bytes.js";
import { Malformed } from "../src/sdk/json.js";
import { crc32, joinCrc32 } from "../src/sdk/files/crc32.js";
import { type Block, LaneReader, LaneWriter } from "../src/sdk/files/lane.js";
import { Ledger } from "../src/sdk/files/ledger.js";
import { type Entry, type Manifest, ManifestReader, parseOffer } from "../src/sdk/files/manifest.js";
import { pathFault } from "../src/sdk/files/paths.js";
import { Speedometer } from "../src/sdk/files/rate.js";

const BLOCK = 65_536;

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return createHash("sha256").update(concat(...parts)).digest();
}

function file(path: string, size = 0): Entry {
  return { kind: "file", path, size };
}

function directory(path: string): Entry {
  return { kind: "directory", path };
}

function offerOf(entries: readonly Entry[]): Record<string, unknown> {
  const files = entries.filter(({ kind }) => kind === "file").length;
  const bytes = entries.reduce((total, entry) => total + (entry.kind === "file" ? entry.size : 0), 0);
  return { version: 1, title: "t", files, directories: entries.length - files, bytes, entries: entries.length, blockSize: BLOCK };
}

function read(entries: readonly Entry[], change: Record<string, unknown> = {}): Manifest | undefined {
  const reader = new ManifestReader(parseOffer({ ...offerOf(entries), ...change }));
  return reader.add({ from: 0, entries });
}

// Every row of the hostile names, and those that look hostile but are fine.
const REFUSED_PATHS: readonly [string, string][] = [
  ["parent", "../x"],
  ["absolute", "/etc/passwd"],
  ["climbing out", "a/../../b"],
  ["backslash parent", "..\\x"],
  ["drive", "C:\\x"],
  ["share", "\\\\host\\share"],
  ["NUL", "x\0y"],
  ["newline", "x\ny"],
  ["escape sequence", "\u001b[2J"],
  ["bidi override", "a\u202Etxt.exe"],
  ["bidi isolate", "a\u2066b"],
  ["bidi mark", "a\u200Fb"],
  ["arabic letter mark", "a\u061Cb"],
  ["300-byte name", "n".repeat(300)],
  ["256 bytes of two-byte letters", "é".repeat(128)],
  ["depth 1000", Array(1000).fill("d").join("/")],
  ["depth 65", Array(65).fill("d").join("/")],
  ["4097 bytes", `${Array(20).fill("n".repeat(200)).join("/")}/${"n".repeat(78)}`],
  ["dot", "."],
  ["dots", ".."],
  ["dot inside", "a/./b"],
  ["empty", ""],
  ["space", " "],
  ["trailing space", "a "],
  ["trailing dot", "a."],
  ["trailing dot inside", "a./b"],
  ["empty part", "a//b"],
  ["trailing slash", "a/"],
  ["device", "CON"],
  ["device with extension", "com1.txt"],
  ["device with two extensions", "lPt9.tar.gz"],
  ["device with a superscript", "COM¹"],
  ["device with a space", "nul .txt"],
  ["device as folder", "a/aux/b"],
  ["stream", "file:stream"],
  ["the staging directory", ".peerline/x"],
  ["the staging directory in capitals", "a/.PeerLine"],
  ["invalid UTF-8, as decoders show it", "a\uFFFDb"],
  ["lone surrogate", "a\uD800b"],
  ["DEL", "a\u007Fb"],
  ["C1 control", "a\u0085b"],
];
for (const [name, path] of REFUSED_PATHS) {
  test(`a manifest is refused for a path: ${name}`, () => {
    assert.notEqual(pathFault(path), undefined);
    assert.throws(() => read([file("fine"), file(path)]), Malformed);
  });
}

for (const path of ["a", "..a", ".hidden", "a b/c d", "日本/語.txt", "CONSOLE", "com", "com10", "a'b\"c*?<>|", "é".repeat(127), Array(64).fill("d").join("/"), "🦀", "x‍y"]) {
  test(`a path that is fine: ${path.slice(0, 30)}`, () => assert.equal(pathFault(path), undefined));
}

const REFUSED_SETS: readonly [string, readonly Entry[]][] = [
  ["twice", [file("a"), file("a")]],
  ["composed and decomposed", [file("caf\u00e9"), file("cafe\u0301")]],
  ["upper and lower case", [file("README"), file("readme")]],
  ["sharp s", [file("straße"), file("STRASSE")]],
  ["final sigma", [file("ΟΔΟΣ"), file("οδος")]],
  ["file and directory of one name", [file("a"), directory("a")]],
  ["one folder in two spellings", [file("a/x"), file("A/y")]],
  ["a folder spelled like the one that paths imply", [file("a/x"), directory("A")]],
  ["a folder twice", [directory("a"), directory("a")]],
  ["through a file", [file("a"), file("a/b")]],
  ["through a file that comes later", [file("a/b/c"), file("A")]],
];
for (const [name, entries] of REFUSED_SETS) {
  test(`a manifest is refused for a set: ${name}`, () => assert.throws(() => read(entries), Malformed));
}

test("folders may be named, implied, or both", () => {
  const entries = [file("a/b/c"), directory("a"), file("a/d"), directory("e"), file("e/f")];
  assert.deepEqual(read(entries)?.entries, entries);
});

test("implied folders count as entries", () => {
  const deep = (i: number): Entry => file(`${Array.from({ length: 60 }, (_, depth) => `${i}-${depth}`).join("/")}/f`);
  assert.throws(() => read(Array.from({ length: 2000 }, (_, i) => deep(i))), Malformed);
});

const REFUSED_OFFERS: readonly [string, Record<string, unknown>][] = [
  ["another count of files", { files: 2, directories: 0 }],
  ["another count of bytes", { bytes: 11 }],
  ["counts that do not add up", { entries: 3 }],
  ["no entries", { files: 0, directories: 0, entries: 0 }],
  ["too many entries", { files: 100_001, entries: 100_002 }],
  ["a block size that is no power of two", { blockSize: 65_537 }],
  ["a small block size", { blockSize: 32_768 }],
  ["a large block size", { blockSize: 33_554_432 }],
  ["another version", { version: 2 }],
  ["a fraction", { bytes: 1.5 }],
  ["2^53 bytes", { bytes: 2 ** 53 }],
  ["no title", { title: null }],
];
for (const [name, change] of REFUSED_OFFERS) {
  test(`an offer is refused: ${name}`, () => {
    assert.throws(() => read([file("a", 10), directory("b")], change), Malformed);
  });
}

const REFUSED_ENTRIES: readonly [string, unknown][] = [
  ["negative size", { kind: "file", path: "a", size: -1 }],
  ["size beyond 2^53", { kind: "file", path: "a", size: 2 ** 63 }],
  ["no size", { kind: "file", path: "a" }],
  ["fifo", { kind: "fifo", path: "a" }],
  ["not an object", "a"],
  ["null", null],
  ["path that is no text", { kind: "file", path: 7, size: 1 }],
];
for (const [name, entry] of REFUSED_ENTRIES) {
  test(`an entry is refused: ${name}`, () => {
    const reader = new ManifestReader(parseOffer(offerOf([file("a", 10)])));
    assert.throws(() => reader.add({ from: 0, entries: [entry] }), Malformed);
  });
}

test("entries must come in order, and not more than offered", () => {
  const reader = new ManifestReader(parseOffer(offerOf([file("a"), file("b")])));
  assert.throws(() => reader.add({ from: 1, entries: [file("b")] }), Malformed);
  assert.equal(reader.add({ from: 0, entries: [file("a")] }), undefined);
  assert.throws(() => reader.add({ from: 1, entries: [file("b"), file("c")] }), Malformed);
});

test("strange times and modes are dropped, set-uid bits are cut off", () => {
  const manifest = read([{ kind: "file", path: "a", size: 0, mode: 0o4755, mtime: -1 } as Entry, { kind: "file", path: "b", size: 0, mtime: 1e300 } as Entry]);
  assert.deepEqual(manifest?.entries, [{ kind: "file", path: "a", size: 0, mode: 0o755, mtime: -1 }, { kind: "file", path: "b", size: 0 }]);
});

/** A file of `size` bytes cut into blocks with their digests. */
function blocks(index: number, size: number): Block[] {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 31 + index) % 251);
  return Array.from({ length: Math.ceil(size / BLOCK) }, (_, block) => {
    const part = bytes.slice(block * BLOCK, (block + 1) * BLOCK);
    return { file: index, block, bytes: part, digest: Uint8Array.from(sha256(part)) };
  });
}

const SIZES = [1, 100, 65_487, 65_519, 65_520, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7, 0, 5];

test("blocks of every size go through a lane and come out the same", () => {
  const entries = SIZES.map((size, i) => file(`f${i}`, size));
  const manifest = read(entries);
  assert.ok(manifest !== undefined);
  const ledger = new Ledger(manifest);
  const writer = new LaneWriter();
  const reader = new LaneReader(BLOCK, ledger);
  const sent = SIZES.flatMap((size, i) => blocks(i, size));
  const got: Block[] = [];
  let messages = 0;
  const take = (message: Uint8Array<ArrayBuffer>): void => {
    messages++;
    assert.ok(message.length <= 65_535);
    for (const block of reader.read(0, message.slice().buffer)) {
      got.push({ ...block, bytes: block.bytes.slice() });
      ledger.add(block.file, block.block, block.digest);
      reader.release(block);
    }
  };
  for (const block of sent) for (const message of writer.add(block)) take(message);
  for (const message of writer.flush()) take(message);
  assert.deepEqual(got, sent);
  assert.ok(messages < 12, "small blocks share messages");
  assert.ok(ledger.whole);
  const expected = sha256(
    ...entries.flatMap((entry, i) => [
      Uint8Array.of(1),
      u32(entry.path.length),
      utf8(entry.path),
      u64(SIZES[i] ?? 0),
      sha256(...blocks(i, SIZES[i] ?? 0).map(({ digest }) => digest)),
    ]),
  );
  assert.equal(toHex(ledger.digest()), expected.toString("hex"));
});

test("blocks of one file may come in any order", () => {
  const manifest = read([directory("d"), file("d/f", 4 * BLOCK)]);
  assert.ok(manifest !== undefined);
  const digests = [2, 0, 3, 1].map((order) => {
    const ledger = new Ledger(manifest);
    const all = blocks(1, 4 * BLOCK);
    for (const { block, digest } of [...all.slice(order), ...all.slice(0, order)]) ledger.add(1, block, digest);
    return toHex(ledger.digest());
  });
  assert.equal(new Set(digests).size, 1);
});

/** One record as it is on the wire. */
function record(fileIndex: number, block: number, offset: number, length: number, last: boolean, data = length): Uint8Array {
  const flags = last ? (length | 0x8000_0000) >>> 0 : length;
  return concat(u32(fileIndex), u32(block), u32(offset), u32(flags), new Uint8Array(data), new Uint8Array(last ? 32 : 0));
}

const REFUSED_RECORDS: readonly [string, readonly Uint8Array[]][] = [
  ["no such file", [record(9, 0, 0, 10, false)]],
  ["a directory", [record(1, 0, 0, 10, false)]],
  ["no such block", [record(0, 2, 0, 10, false)]],
  ["offset beyond", [record(0, 0, 70_000, 10, false)]],
  ["gap", [record(0, 0, 0, 10, false), record(0, 0, 11, 10, false)]],
  ["overlap", [record(0, 0, 0, 10, false), record(0, 0, 5, 10, false)]],
  ["length 0", [record(0, 0, 0, 0, false)]],
  ["beyond the end of the block", [record(0, 1, 0, 11, false)]],
  ["whole but not last", [record(0, 1, 0, 10, false)]],
  ["last but not whole", [record(0, 1, 0, 9, true)]],
  ["cut header", [new Uint8Array(15)]],
  ["cut data", [record(0, 0, 0, 100, false, 50)]],
  ["cut digest", [record(0, 1, 0, 10, true).slice(0, -1)]],
  ["too long", [new Uint8Array(65_536)]],
  ["a block again", [record(0, 1, 0, 10, true), record(0, 1, 0, 10, true)]],
  ["two blocks mixed", [record(2, 0, 0, 10, false), record(2, 1, 0, 10, false)]],
];
for (const [name, records] of REFUSED_RECORDS) {
  test(`a lane refuses: ${name}`, () => {
    const manifest = read([file("a", BLOCK + 10), directory("d"), file("b", 10 * BLOCK)]);
    assert.ok(manifest !== undefined);
    const ledger = new Ledger(manifest);
    const reader = new LaneReader(BLOCK, ledger);
    const last = records.at(-1);
    for (const bytes of records.slice(0, -1)) {
      for (const { file, block, digest } of reader.read(0, bytes.slice().buffer as ArrayBuffer)) ledger.add(file, block, digest);
    }
    assert.throws(() => reader.read(0, (last?.slice().buffer ?? new ArrayBuffer()) as ArrayBuffer), Malformed);
  });
}

test("a block comes once, also while the first copy is not written yet, and again only if that was damaged", () => {
  const manifest = read([file("a", BLOCK + 10)]);
  assert.ok(manifest !== undefined);
  const copy = (): ArrayBuffer => record(0, 1, 0, 10, true).slice().buffer as ArrayBuffer;
  const both = concat(record(0, 1, 0, 10, true), record(0, 1, 0, 10, true)).slice().buffer as ArrayBuffer;
  assert.throws(() => new LaneReader(BLOCK, new Ledger(manifest)).read(0, both), Malformed, "in one message");

  const ledger = new Ledger(manifest);
  const reader = new LaneReader(BLOCK, ledger);
  const [damaged] = reader.read(0, copy());
  assert.ok(damaged !== undefined);
  assert.throws(() => reader.read(0, copy()), Malformed, "in flight");
  reader.release(damaged);
  const [right] = reader.read(0, copy());
  assert.ok(right !== undefined);
  ledger.add(0, 1, right.digest);
  reader.release(right);
  assert.throws(() => reader.read(0, copy()), Malformed, "written");
});

test("credit is what is not held any more, and comes before the window closes, however short records are", () => {
  const size = 16 * BLOCK;
  const manifest = read([file("a", size)], { blockSize: size });
  assert.ok(manifest !== undefined);
  const reader = new LaneReader(size, new Ledger(manifest));
  let received = 0;
  let credited = 0;
  // One byte of data in seventeen: the block takes more than the window.
  const most = 3840;
  for (let offset = 0; offset < size; offset += most) {
    const count = Math.min(most, size - offset);
    const ends = offset + count === size;
    const message = new ArrayBuffer(17 * count + (ends ? 32 : 0));
    const view = new DataView(message);
    for (let i = 0; i < count; i++) {
      view.setUint32(17 * i + 8, offset + i);
      view.setUint32(17 * i + 12, ends && i + 1 === count ? 0x8000_0001 : 1);
    }
    received += message.byteLength;
    assert.ok(received - credited <= reader.window);
    const [whole] = reader.read(0, message);
    if (whole !== undefined) reader.release(whole);
    const credit = reader.credit()?.bytes ?? credited;
    assert.ok(credit >= credited && credit <= received);
    credited = credit;
  }
  assert.ok(received > reader.window);
  assert.ok(received - credited < reader.window / 8, "at the end nothing is held");
});

function streamLedger(): Ledger {
  const reader = new ManifestReader(parseOffer({ ...offerOf([file("s")]), stream: true }));
  const manifest = reader.add({ from: 0, entries: [{ kind: "file", path: "s" }] });
  assert.ok(manifest?.stream);
  return new Ledger(manifest);
}

test("a stream of any length goes through a lane and ends where it ends, whatever comes first", () => {
  for (const size of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]) {
    for (const endFirst of [true, false]) {
      const ledger = streamLedger();
      const writer = new LaneWriter();
      const reader = new LaneReader(BLOCK, ledger);
      const sent = blocks(0, size);
      if (endFirst) ledger.end(size);
      const take = (message: Uint8Array<ArrayBuffer>): void => {
        for (const { file, block, digest, bytes } of reader.read(0, message.slice().buffer)) ledger.add(file, block, digest, bytes.length);
      };
      for (const block of sent) for (const message of writer.add(block)) take(message);
      for (const message of writer.flush()) take(message);
      assert.equal(ledger.whole, endFirst);
      ledger.end(size);
      assert.ok(ledger.whole);
      assert.equal(ledger.bytes, size);
      const expected = sha256(Uint8Array.of(1), u32(1), utf8("s"), u64(size), sha256(...sent.map(({ digest }) => digest)));
      assert.equal(toHex(ledger.digest()), expected.toString("hex"));
    }
  }
});

test("a stream of another length is refused", () => {
  const digest = new Uint8Array(32);
  const two = (): Ledger => {
    const ledger = streamLedger();
    ledger.add(0, 0, digest, BLOCK);
    ledger.add(0, 1, digest, 3);
    return ledger;
  };
  for (const size of [0, BLOCK, BLOCK + 2, BLOCK + 4, 2 * BLOCK, Number.MAX_SAFE_INTEGER]) assert.throws(() => two().end(size), Malformed, String(size));
  assert.throws(() => two().add(0, 2, digest, 3), Malformed, "two ends");
  const full = streamLedger();
  full.add(0, 0, digest, BLOCK);
  assert.throws(() => full.end(BLOCK - 1), Malformed, "full where it must be short");
  const offer = { ...offerOf([file("s")]), stream: true };
  for (const change of [{ bytes: 1 }, { files: 0, directories: 1 }, { files: 2, entries: 2 }]) assert.throws(() => parseOffer({ ...offer, ...change }), Malformed);
  const reader = new ManifestReader(parseOffer(offer));
  assert.throws(() => reader.add({ from: 0, entries: [file("s")] }), Malformed, "a size");
});

test("CRC-32 agrees with zlib, whole and joined", () => {
  for (const size of [0, 1, 3, 4, 5, 1000, 65_537]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7919) % 256);
    assert.equal(crc32(bytes), reference(bytes));
    const cut = Math.floor(size / 3);
    assert.equal(joinCrc32(crc32(bytes.subarray(0, cut)), crc32(bytes.subarray(cut)), size - cut), reference(bytes));
  }
});

test("speed follows the count", () => {
  const speed = new Speedometer(0, 1000, 2);
  assert.deepEqual(speed.read(0, 0, 0), { bytes: 0, totalBytes: 1000, files: 0, totalFiles: 2, rate: 0 });
  const half = speed.read(1000, 500, 1);
  assert.equal(half.rate, 500);
  assert.equal(half.secondsLeft, 1);
  assert.ok(speed.read(2000, 600, 1).rate < 500);
  const unknown = new Speedometer(0, 0, 1).read(1000, 500, 0);
  assert.deepEqual([unknown.rate, unknown.secondsLeft], [500, undefined]);
});
