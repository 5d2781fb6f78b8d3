import assert from "node:assert/strict";
import { test } from "node:test";
import { Doorway } from "../src/sdk/doorway.js";
import { Line } from "../src/sdk/line.js";

test("sending nothing is the caller's mistake, with or without a connection", () => {
  const line = Line.host({ server: "http://127.0.0.1:9/" });
  assert.throws(() => line.send([]), { name: "PeerlineError", code: "nothing-to-send" });
  assert.throws(() => line.send([{ kind: "directory", path: "d" }]), { code: "peer-gone" });
  line.close();
});

const VISITS: readonly [string, (doorway: Doorway, tick: (ms: number) => void) => void, number][] = [
  ["who stays silent is overdue once", (doorway, tick) => { doorway.enter("a"); tick(9_999); tick(1); tick(60_000); }, 1],
  ["who is not yet overdue is let be", (doorway, tick) => { doorway.enter("a"); tick(9_999); }, 0],
  ["who speaks in time is not", (doorway, tick) => { doorway.enter("a"); tick(9_000); doorway.leave("a"); tick(60_000); }, 0],
  ["another one's leaving does not help", (doorway, tick) => { doorway.enter("a"); doorway.leave("b"); tick(10_000); }, 1],
  ["each has its own time", (doorway, tick) => { doorway.enter("a"); tick(5_000); doorway.enter("b"); tick(5_000); doorway.leave("b"); tick(60_000); }, 1],
  ["a second look starts the time again", (doorway, tick) => { doorway.enter("a"); tick(9_000); doorway.enter("a"); tick(9_000); }, 0],
  ["nobody is after the room was left", (doorway, tick) => { doorway.enter("a"); doorway.enter("b"); doorway.clear(); tick(60_000); }, 0],
];
for (const [name, happen, expected] of VISITS) {
  test(`at the door: ${name}`, ({ mock }) => {
    mock.timers.enable({ apis: ["setTimeout"] });
    let overdue = 0;
    happen(new Doorway(() => overdue++), (ms) => mock.timers.tick(ms));
    assert.equal(overdue, expected);
  });
}

test("leaving tells whether anybody was being waited for", ({ mock }) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const doorway = new Doorway(() => undefined);
  doorway.enter("a");
  assert.deepEqual([doorway.leave("b"), doorway.leave("a"), doorway.leave("a")], [false, true, false]);
});
