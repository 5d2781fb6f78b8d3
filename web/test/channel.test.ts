/** A channel without a connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../src/sdk/channel.js";

test("a channel ends once, also if its browser and its lane both say so", () => {
  const raw = Object.assign(new EventTarget(), { label: "x", protocol: "y" }) as unknown as RTCDataChannel;
  const channel = new Channel(raw, () => undefined);
  let ends = 0;
  channel.on("closed", () => ends++);
  for (let times = 0; times < 2; times++) raw.onclose?.(new Event("close"));
  assert.equal(ends, 1);
});
