import assert from "node:assert/strict";
import { test } from "node:test";
import { Forwarders, isForwarder } from "../src/sdk/forwarders.js";

const never = (): boolean => false;
const always = (): boolean => true;

test("a forwarder says so in its name, and is no plain peer", () => {
  assert.ok(isForwarder({ id: "f", name: "peerline-forwarder" }));
  assert.ok(!isForwarder({ id: "f", name: "peerline-forwarder", plain: true }));
  assert.ok(!isForwarder({ id: "f", name: "Ada" }));
  assert.ok(!isForwarder({ id: "f" }));
});

test("one that is away counts while the line to it works", () => {
  const forwarders = new Forwarders();
  assert.equal(forwarders.chosen(always), undefined);
  forwarders.came({ id: "f" });
  assert.equal(forwarders.chosen(never), "f");
  assert.ok(forwarders.went("f"));
  assert.equal(forwarders.chosen(always), "f");
  assert.equal(forwarders.chosen(never), undefined);
  assert.ok(!forwarders.isHere);
  assert.ok(forwarders.back("f"));
  assert.equal(forwarders.chosen(never), "f");
  assert.ok(forwarders.isHere);
  assert.ok(forwarders.left("f"));
  assert.equal(forwarders.chosen(always), undefined);
});

test("the newest one that is here counts, whatever became of the one before", () => {
  const forwarders = new Forwarders();
  forwarders.came({ id: "dead", away: true });
  assert.equal(forwarders.chosen(never), undefined, "as it was found on joining");
  forwarders.came({ id: "next" });
  assert.equal(forwarders.chosen((id) => id === "dead"), "next");
  forwarders.back("dead");
  assert.equal(forwarders.chosen(always), "next");
  assert.ok(forwarders.left("dead"));
  assert.equal(forwarders.chosen(never), "next");
});

test("who is no forwarder is none, whatever it does", () => {
  const forwarders = new Forwarders();
  assert.ok(!forwarders.went("a") && !forwarders.back("a") && !forwarders.left("a") && !forwarders.has("a"));
  assert.equal(forwarders.chosen(always), undefined);
});
