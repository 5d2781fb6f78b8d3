import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, duration, files, remaining } from "../src/page/format.js";

const KIB = 1024;
const MIB = 1024 * KIB;

// The rows of peer-cli/src/ui/size.rs: one file has one size, whichever side says it.
const SIZES: readonly [number, string][] = [
  [0, "0 B"],
  [1, "1 B"],
  [1023, "1023 B"],
  [1023.9, "1023 B"],
  [KIB, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [MIB - 1, "1.0 MiB"],
  [1.2 * 1024 * MIB, "1.2 GiB"],
  [1024 * MIB, "1.0 GiB"],
  [2 ** 64, "16.0 EiB"],
];
for (const [count, text] of SIZES) test(`${count} bytes are ${text}`, () => assert.equal(bytes(count), text));

const SPANS: readonly [number, string][] = [
  [0, "0.0 s"],
  [0.449, "0.4 s"],
  [9.949, "9.9 s"],
  [9.999, "10 s"],
  [59.4, "59 s"],
  [59.6, "1 min 0 s"],
  [125, "2 min 5 s"],
  [12_000, "3 h 20 min"],
  [176_400, "2 d 1 h"],
];
for (const [seconds, text] of SPANS) test(`${seconds} seconds are ${text}`, () => assert.equal(duration(seconds), text));

test("time left is in whole seconds, and never none", () => {
  assert.deepEqual([0, 0.2, 3.1, 9.4, 61].map(remaining), ["1 s left", "1 s left", "4 s left", "10 s left", "1 min 1 s left"]);
});

test("counts of files", () => {
  assert.deepEqual([0, 1, 10_000].map(files), ["0 files", "1 file", "10,000 files"]);
});
