import assert from "node:assert/strict";
import { test } from "node:test";
import { Inlet } from "../src/sdk/carrier.js";
import { Ledger } from "../src/sdk/ledger.js";
import { events } from "../src/sdk/requests.js";

const chat = { type: "chat", content: "" } as const;

test("what was sent is kept until it is acknowledged", () => {
  const ledger = new Ledger();
  const texts = [1, 2, 3].map(() => ledger.number(chat));
  assert.deepEqual(texts.map((text) => (JSON.parse(text) as { seq: number }).seq), [1, 2, 3]);
  assert.equal(ledger.acknowledged(2), true);
  assert.deepEqual(ledger.unacknowledged(), texts.slice(2));
  assert.equal(ledger.acknowledged(9), false, "never sent");
  while (!ledger.full) ledger.number(chat);
  assert.equal(ledger.unacknowledged().length, 256);
});

test("what came twice is told from what is missing, and owed once", () => {
  const ledger = new Ledger();
  const rows = [[undefined, "new"], [1, "new"], [1, "again"], [3, "gap"], [2, "new"]] as const;
  for (const [seq, expected] of rows) assert.equal(ledger.arrived(seq), expected, String(seq));
  assert.equal(ledger.owes, "some");
  for (let seq = 3; seq <= 16; seq++) ledger.arrived(seq);
  assert.equal(ledger.owes, "much");
  assert.equal(ledger.settle(), 16);
  assert.equal(ledger.owes, "nothing");
});

test("an inlet holds what comes while nobody listens", () => {
  const inlet = new Inlet();
  const heard: string[] = [];
  const owner = { message: (text: string) => void heard.push(text), closed: () => void heard.push("closed") };
  inlet.message("a");
  inlet.give({ ...owner, message: (text) => (inlet.give(undefined), owner.message(text)) });
  inlet.message("b");
  inlet.closed();
  assert.deepEqual(heard, ["a"]);
  inlet.give(owner);
  assert.deepEqual(heard, ["a", "b", "closed"]);
});

for (const [name, text, expected] of [
  ["lines of every kind", "data: a\n\ndata:b\r\n\r\ndata:  c\n\n", ["a", "b", " c"]],
  ["several lines", "id: 7\nevent: x\ndata: a\ndata: b\n\n", ["a\nb"]],
  ["comments and other fields", ":\n\nretry: 1000\n\n: x\n\n", []],
  ["an event that is cut off", "data: a\n", []],
  ["text beyond ASCII", "data: 世界 🦀\n\n", ["世界 🦀"]],
] as const) {
  test(`an event stream: ${name}`, async () => {
    const bytes = new TextEncoder().encode(text);
    for (const size of [1, 3, bytes.length]) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          const piece = pieces.shift();
          if (piece === undefined) controller.close();
          else controller.enqueue(piece);
        },
      });
      const got: string[] = [];
      for await (const data of events(body)) got.push(data);
      assert.deepEqual(got, expected, `${size} bytes at once`);
    }
  });
}

test("an event without end is refused", async () => {
  const body = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(1024).fill(120)) });
  await assert.rejects(async () => {
    for await (const data of events(body)) assert.fail(data);
  });
});
