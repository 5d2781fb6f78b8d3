import assert from "node:assert/strict";
import { test } from "node:test";
import { endsHandshakes, endsSession } from "../src/sdk/absence.js";

test("whom the server misses in the handshakes has ten seconds to come back", () => {
  assert.equal(endsHandshakes({ at: 1_000, onPurpose: false }), 11_000);
});

const LOSSES: readonly [string, at: number, lostAt: number, left: number, away: number][] = [
  ["the server first", 20_000, 25_000, 25_000, 30_000],
  ["the path first", 25_000, 20_000, 25_000, 35_000],
  ["the path long after", 20_000, 30_000, Infinity, Infinity],
  ["the path long before", 30_000, 20_000, 30_000, Infinity],
];
for (const [name, at, lostAt, left, away] of LOSSES) {
  test(`a verified one loses ${name}`, () => {
    assert.equal(endsSession({ at, onPurpose: true }, lostAt), left);
    assert.equal(endsSession({ at, onPurpose: false }, lostAt), away);
  });
}
