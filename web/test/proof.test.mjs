// The browser's verifier against proofs that a real validator made. `SALUS_BLESS=1` on the Rust
// test `the_vectors_of_the_browsers_verifier_verify_here` makes them anew.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import { createServer } from "vite";

const server = await createServer({
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, hmr: false, ws: false },
  appType: "custom",
});
after(() => server.close());
const { verifyBlock, verifyTransaction, contentOf, rootOf, hex, quorum } =
  await server.ssrLoadModule("/src/proof/verify.ts");

const vector = async (name) => new Uint8Array(await readFile(`test/vectors/${name}`));
const [genesis, proof, envelope, block] = await Promise.all(
  ["genesis.cbor", "transaction.cbor", "envelope.cbor", "block.cbor"].map(vector),
);
const expected = JSON.parse(await readFile("test/vectors/expected.json", "utf8"));
const accepts = (id, bytes, begun, own) => verifyTransaction(id, bytes, begun, own);

test("a proof of a real validator is accepted, with what it says", async () => {
  const told = await accepts(expected.transaction, proof, genesis, envelope);
  assert.equal(told.ledger, expected.ledger);
  assert.equal(told.outcome, "applied");
  assert.ok(told.votes >= told.quorum && told.handovers === 1 && told.path > 1, told);
  const final = await verifyBlock(expected.block, block, genesis);
  assert.equal(final.block, expected.block);
});

test("the content that the browser reads is what the API says", () => {
  assert.deepEqual(contentOf(envelope), expected.content);
});

test("a changed byte anywhere in the proof, genesis or transaction is refused", async () => {
  const whole = [proof, genesis, envelope];
  let refused = 0;
  for (const [which, bytes] of whole.entries()) {
    for (let at = 0; at < bytes.length; at += 7) {
      const changed = whole.map((part) => part.slice());
      changed[which][at] ^= 1 << (at % 8);
      await assert.rejects(
        accepts(expected.transaction, ...changed).then((told) => {
          // Another genesis is another ledger, which the pinned id tells apart.
          if (told.ledger !== expected.ledger) throw new Error("another ledger");
        }),
        `byte ${at} of part ${which}`,
      );
      refused += 1;
    }
  }
  assert.ok(refused > 300, `only ${refused} changes were tried`);
});

test("a proof that ends early, or goes on, is refused", async () => {
  for (const length of [0, 1, 10, proof.length - 1]) {
    await assert.rejects(accepts(expected.transaction, proof.slice(0, length), genesis, envelope));
  }
  const longer = new Uint8Array([...proof, 0]);
  await assert.rejects(accepts(expected.transaction, longer, genesis, envelope));
});

test("a proof of another transaction or block is refused", async () => {
  const other = "00".repeat(32);
  await assert.rejects(accepts(other, proof, genesis, envelope), /another transaction/);
  await assert.rejects(verifyBlock(other, block, genesis), /another block/);
});

test("the Merkle path is that of RFC 9162, whose empty and longer paths are refused", async () => {
  const leaf = new Uint8Array(32).fill(7);
  assert.equal(hex(await rootOf(leaf, 0n, 1n, [])), hex(leaf));
  await assert.rejects(rootOf(leaf, 0n, 2n, []), /too short/);
  await assert.rejects(rootOf(leaf, 0n, 1n, [leaf]), /too long/);
  await assert.rejects(rootOf(leaf, 1n, 1n, []), /outside/);
});

test("the quorum is the ledger's", () => {
  const wanted = [Infinity, 1, 2, 3, 3, 4, 5, 5, 6, 7, 7];
  assert.deepEqual(wanted.map((_, count) => quorum(count)), wanted);
});
