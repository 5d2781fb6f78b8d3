import assert from "node:assert/strict";
import { test } from "node:test";
import { Keeper } from "../src/page/pipe/keeper.js";
import { MOST_KEPT, Tail } from "../src/page/pipe/tail.js";
import { BlobStore } from "../src/sdk/files/store-blob.js";

const utf8 = new TextEncoder();

/** What is shown of `text` that comes in pieces of `size` bytes. */
function shown(text: string, size: number): string {
  const [tail, bytes] = [new Tail(), utf8.encode(text)];
  let all = "";
  for (let at = 0; at < bytes.length; at += size) {
    tail.push(bytes.subarray(at, at + size));
    all += tail.take().text;
  }
  tail.end();
  return all + tail.take().text;
}

test("characters and lines that come apart are shown whole", () => {
  for (const size of [1, 2, 3, 5, 100]) {
    assert.equal(shown("żółw 🦊\r\nnext\r\nover\rwritten\r", size), "żółw 🦊\nnext\nover\\u{d}written\\u{d}", `${size}`);
  }
});

test("what is no text is noticed, whenever it comes", () => {
  for (const bytes of [[0], [0xff], [0xc3, 0x28], [0x61, 0x00, 0x62]]) {
    const tail = new Tail();
    tail.push(utf8.encode("a line\n"));
    tail.push(Uint8Array.from(bytes));
    tail.push(utf8.encode("more\n"));
    tail.end();
    assert.deepEqual([tail.binary, tail.take().text], [true, ""], bytes.join());
  }
  const cut = new Tail();
  cut.push(Uint8Array.of(0x61, 0xc3));
  cut.end();
  assert.deepEqual([cut.binary, cut.take().text], [false, "a\ufffd"], "cut off in the middle of a character");
});

test("what nobody looks at does not pile up", () => {
  const tail = new Tail();
  for (let i = 0; i < 100; i++) tail.push(utf8.encode("x".repeat(99_999) + i));
  tail.push(utf8.encode("end"));
  const { text, gap } = tail.take();
  assert.ok(gap && text.length <= MOST_KEPT && text.length > MOST_KEPT / 2);
  assert.ok(text.endsWith("x99end"));
  tail.push(utf8.encode("more"));
  assert.deepEqual(tail.take(), { text: "more", gap: false });
});

test("what is kept is what came, in whatever pieces, and a full disk is said", async () => {
  const pieces = [1, 300_000, 0, 7, 262_144, 262_137, 999_999].map((size, seed) => Uint8Array.from({ length: size }, (_, i) => i * 7 + seed));
  const keeper = new Keeper(new BlobStore());
  await keeper.open();
  for (const piece of pieces) await keeper.keep(piece);
  assert.equal(keeper.kept, 300_001 + 7 + 262_144 + 262_137 + 999_999);
  const blob = await keeper.finish();
  assert.ok(blob !== undefined);
  assert.deepEqual(Buffer.from(await blob.arrayBuffer()), Buffer.concat(pieces));
  const nothing = new Keeper(new BlobStore());
  await nothing.open();
  assert.equal(await nothing.finish(), undefined);
  class Full extends BlobStore {
    writes = 0;
    override async write(...words: Parameters<BlobStore["write"]>): Promise<void> {
      if (++this.writes > 1) throw new Error("no space");
      await super.write(...words);
    }
  }
  const store = new Full();
  const full = new Keeper(store);
  await full.open();
  await assert.rejects(full.keep(new Uint8Array(600_000)), { code: "storage", message: "What came could not be kept: no space." });
  // What was kept before is still good, and what failed is not tried again.
  assert.equal((await full.finish())?.size, 262_144);
  assert.equal(store.writes, 2);
});
