import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, lv, toHex } from "../src/sdk/bytes.js";
import { generatorOf, multiplyChecked, scalarOf, sessionKey, shareOf } from "../src/sdk/cpace.js";

// draft-irtf-cfrg-cpace, "Test vector for CPace using group ristretto255 and hash SHA-512".
const INPUT = {
  prs: new TextEncoder().encode("Password"),
  ci: fromHex("0b415f696e69746961746f720b425f726573706f6e646572"),
  sid: fromHex("7e4b4791d6a8ef019b936c79fb7f2c57"),
};
const YA = "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157";
const YB = "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258";
const A = scalarOf(fromHex("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08"));
const B = scalarOf(fromHex("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d"));
const MESSAGE_A = { share: fromHex(YA), ad: fromHex("414461") };
const MESSAGE_B = { share: fromHex(YB), ad: fromHex("414462") };

test("the draft's generator and shares", () => {
  assert.equal(toHex(generatorOf(INPUT)), "222b6b195fe84b1652badb6f6a3ae3d24341e7306967f0b8115b40d5698c7e56");
  assert.equal(toHex(shareOf(INPUT, A)), YA);
  assert.equal(toHex(shareOf(INPUT, B)), YB);
});

test("the draft's session key, from both sides", () => {
  const expected =
    "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd2b38950a39dfd5d4a79164614c2984f7daa460b588c1e80c3fa2068af7900447";
  for (const [scalar, theirs] of [[A, YB], [B, YA]] as const) {
    const key = sessionKey(INPUT, scalar, fromHex(theirs), MESSAGE_A, MESSAGE_B);
    assert.ok(key !== undefined);
    assert.equal(toHex(key), expected);
  }
});

test("the draft's valid and invalid products", () => {
  const scalar = scalarOf(fromHex("7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05"));
  const product = multiplyChecked(scalar, fromHex("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c"));
  assert.equal(toHex(product ?? new Uint8Array()), "7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e");
  for (const invalid of ["2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c", "00".repeat(32)]) {
    assert.equal(multiplyChecked(scalar, fromHex(invalid)), undefined);
  }
});

test("length prefixes are LEB128", () => {
  for (const [length, prefix] of [[0, "00"], [4, "04"], [127, "7f"], [128, "8001"], [300, "ac02"]] as const) {
    assert.ok(toHex(lv(new Uint8Array(length))).startsWith(prefix));
    assert.equal(lv(new Uint8Array(length)).length, length + prefix.length / 2);
  }
});
