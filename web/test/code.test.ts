import assert from "node:assert/strict";
import { test } from "node:test";
import { completeCode, drawWords, findWord, formatCode, linkOf, parseCode } from "../src/sdk/code.js";

const CODE = { room: "7", words: ["crane", "velvet", "orbit"] } as const;

const READ: readonly [string, string][] = [
  ["as shown", "7-crane-velvet-orbit"],
  ["capitals", "7-CRANE-Velvet-orbit"],
  ["spaces", "  7 crane  velvet orbit "],
  ["underscores and dots", "7_crane.velvet_orbit"],
  ["four letters", "7-cran-velv-orbi"],
  ["five letters", "7-crane-velve-orbit"],
  ["link", "https://peer.example/#7-crane-velvet-orbit"],
  ["link to a path", "http://192.0.2.1:8787/x/?y=1#7-crane-velvet-orbit"],
];
for (const [name, input] of READ) {
  test(`a code is read: ${name}`, () => assert.deepEqual(parseCode(input), CODE));
}

const REFUSED: readonly [string, string][] = [
  ["empty", ""],
  ["no words", "7"],
  ["two words", "7-crane-velvet"],
  ["four words", "7-crane-velvet-orbit-orbit"],
  ["unknown word", "7-crane-velvet-orbitt"],
  ["three letters", "7-cra-velvet-orbit"],
  ["no room", "crane-velvet-orbit"],
  ["room with a dash too many", "-crane-velvet-orbit"],
  ["room of 17", "12345678901234567-crane-velvet-orbit"],
  ["foreign room", "ü-crane-velvet-orbit"],
  ["link without a code", "https://peer.example/"],
  ["link with half an escape", "https://peer.example/#%E0%A4%A"],
  ["prototype", "7-constructor-velvet-orbit"],
];
for (const [name, input] of REFUSED) {
  test(`no code: ${name}`, () => assert.throws(() => parseCode(input), { code: "bad-code" }));
}

test("drawn words make a code that reads back, and differ", () => {
  const drawn = Array.from({ length: 50 }, () => formatCode({ room: "42", words: drawWords() }));
  for (const code of drawn) assert.equal(formatCode(parseCode(code)), code);
  assert.ok(new Set(drawn).size > 45);
});

test("a link carries the code in its fragment only", () => {
  assert.equal(linkOf("https://peer.example/?x=1", CODE), "https://peer.example/#7-crane-velvet-orbit");
});

test("words are completed one after the other", () => {
  assert.deepEqual(completeCode("7-cran", 8), ["7-crane"]);
  assert.deepEqual(completeCode("7 crane vel", 8), ["7-crane-velvet"]);
  assert.equal(completeCode("7-cran-velv-or", 3).length, 3);
  assert.deepEqual(completeCode("7", 8), []);
  assert.deepEqual(completeCode("7-crane-velvet-orbit-x", 8), []);
});

test("a word is found by itself or by four letters, never by a wrong tail", () => {
  assert.equal(findWord("act"), "act");
  assert.equal(findWord("acti"), "action");
  assert.equal(findWord("ac"), undefined);
  assert.equal(findWord("acto"), "actor");
  assert.equal(findWord("cranky"), undefined);
});
