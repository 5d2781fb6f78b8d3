import assert from "node:assert/strict";
import { test } from "node:test";
import { Scaler } from "../src/sdk/files/scaler.js";

const MIB = 1024 * 1024;

/** A transfer of 4 GiB for a minute, over connections that together carry `rate(extra)` bytes a second. How many there were at each quarter of a second. */
function history(most: number, rate: (extra: number) => number): number[] {
  const scaler = new Scaler(0, most, 4096 * MIB);
  const lanes: number[] = [];
  let taken = 0;
  for (let now = 0; now < 60_000; now += 250) {
    const target = scaler.target(now, lanes.at(-1) ?? 0, taken);
    lanes.push(target);
    taken += rate(target) / 4;
  }
  return lanes;
}

test("a path that holds each connection down gets as many as help", () => {
  const lanes = history(4, (extra) => (extra + 1) * MIB);
  assert.ok(lanes.slice(60).every((extra) => extra === 4), lanes.join());
});

test("a link that is full keeps the first one alone most of the time", () => {
  const lanes = history(4, () => 12 * MIB);
  assert.ok(lanes.filter((extra) => extra === 0).length > 190, lanes.join());
});

test("a machine at its limit is left alone, and so is what is small or soon over", () => {
  assert.ok(history(4, () => 30 * MIB).every((extra) => extra === 0));
  const small = new Scaler(0, 4, MIB);
  const soon = new Scaler(0, 4, 10 * MIB);
  for (let now = 0; now < 10_000; now += 250) {
    assert.equal(small.target(now, 0, 0), 0);
    assert.equal(soon.target(now, 0, Math.min(now * 4_000, 10 * MIB)), 0);
  }
});

test("what was asked for is what there is, as far as the other side takes it", () => {
  assert.equal(new Scaler(0, 4, 100, 3).target(0, 0, 0), 3);
  assert.equal(new Scaler(0, 2, 100, 9).target(0, 0, 0), 2);
});

test("connections that do not come up are not waited for", () => {
  const scaler = new Scaler(0, 4, 4096 * MIB);
  let now = 0;
  while (scaler.target(now, 0, now * 1_000) === 0) now += 250;
  const wanted = now;
  while (scaler.target(now, 0, now * 1_000) > 0) now += 250;
  assert.ok(now - wanted >= 5_000 && now - wanted < 6_000, `${now - wanted}`);
});
