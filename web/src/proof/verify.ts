/**
 * Checks in the browser what `salus ledger verify` checks: from the genesis over every change of
 * validators to the votes for a block, and from there along the Merkle path to one transaction.
 *
 * What it trusts is the ledger's id. The genesis, the proof and this very script come from the
 * validator that is asked, so the check shows that the answer agrees with that id, not that the id
 * is the right one: a person has to compare it once with what their organisation was given.
 */

import { bytesOf, entries, field, integer, list, read, type Item } from "./cbor";

export class ProofError extends Error {}

/** This browser cannot check Ed25519 signatures. */
export class Unsupported extends Error {}

export interface Finality {
  ledger: string;
  height: bigint;
  block: string;
  votes: number;
  quorum: number;
  validators: number;
  handovers: number;
}

export interface Inclusion extends Finality {
  transaction: string;
  outcome: "applied" | "refused";
  historyIndex: bigint;
  historySize: bigint;
  path: number;
}

interface Anchor {
  ledger: Uint8Array;
  after: bigint;
  validators: Set<string>;
  handovers: number;
}

const encoder = new TextEncoder();

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
}

/** A hash that says what it is of. */
async function tagged(domain: string, bytes: Uint8Array): Promise<Uint8Array> {
  const name = encoder.encode(domain);
  return sha256(Uint8Array.of(name.length), name, bytes);
}

function number64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

async function isSigned(key: Uint8Array, message: Uint8Array, signature: Uint8Array) {
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey("raw", join(key), "Ed25519", false, ["verify"]);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") {
      throw new Unsupported("this browser cannot check Ed25519 signatures");
    }
    return false;
  }
  return crypto.subtle.verify("Ed25519", imported, join(signature), join(message));
}

/** All but a third, rounded as the ledger does. */
export function quorum(validators: number): number {
  return validators === 0 ? Infinity : validators - Math.floor((validators - 1) / 3);
}

function validatorsOf(config: Item): Set<string> {
  const listed = list(field(config, "validators"));
  const keys = new Set(listed.map((validator) => hex(bytesOf(field(validator, "key"), 32))));
  if (keys.size !== listed.length) throw new ProofError("a validator is listed twice");
  return keys;
}

async function begin(genesis: Uint8Array): Promise<Anchor> {
  const ledger = await tagged("salus-ledger/genesis/v1", genesis);
  const validators = validatorsOf(field(read(genesis), "config"));
  return { ledger, after: 0n, validators, handovers: 0 };
}

/** Accepts when enough of the anchor's validators voted for this very header. */
async function checkFinality(finality: Item, anchor: Anchor) {
  const header = field(finality, "header");
  const certificate = field(finality, "certificate");
  const height = integer(field(header, "height"));
  if (!same(bytesOf(field(header, "ledger"), 32), anchor.ledger)) {
    throw new ProofError("the block is of another ledger");
  }
  if (height <= anchor.after) {
    throw new ProofError("the block is older than the validators that are trusted");
  }
  const block = await tagged("salus-ledger/block/v1", header.bytes);
  const named = bytesOf(field(certificate, "block"), 32);
  if (!same(named, block) || integer(field(certificate, "height")) !== height) {
    throw new ProofError("the votes are for another block");
  }
  const votes = entries(field(certificate, "votes"));
  const wanted = quorum(anchor.validators.size);
  const voters = new Set(votes.map(([key]) => hex(bytesOf(key, 32))));
  if (voters.size !== votes.length) throw new ProofError("a vote is counted twice");
  if (votes.length < wanted) {
    throw new ProofError(`${votes.length} votes are too few, ${wanted} are needed`);
  }
  const prefix = encoder.encode("salus-ledger/vote/v1\0");
  const message = join(prefix, anchor.ledger, number64(height), block);
  for (const [key, signature] of votes) {
    const voter = bytesOf(key, 32);
    if (!anchor.validators.has(hex(voter))) throw new ProofError("a voter is no validator");
    if (!(await isSigned(voter, message, bytesOf(signature, 64)))) {
      throw new ProofError("a vote is forged");
    }
  }
  return { header, height, block, votes: votes.length, quorum: wanted };
}

/** Trusts the validators that the present ones handed over to. */
async function follow(anchor: Anchor, handover: Item): Promise<Anchor> {
  const { header, height } = await checkFinality(field(handover, "finality"), anchor);
  const config = field(handover, "config");
  const hash = await tagged("salus-ledger/config/v1", config.bytes);
  if (!same(hash, bytesOf(field(header, "config"), 32))) {
    throw new ProofError("a change of validators names another configuration");
  }
  const { ledger, handovers } = anchor;
  return { ledger, after: height, validators: validatorsOf(config), handovers: handovers + 1 };
}

async function checkBlock(proof: Item, genesis: Uint8Array) {
  let anchor = await begin(genesis);
  for (const handover of list(field(proof, "handovers"))) anchor = await follow(anchor, handover);
  const checked = await checkFinality(field(proof, "finality"), anchor);
  const told: Finality = {
    ledger: hex(anchor.ledger),
    height: checked.height,
    block: hex(checked.block),
    votes: checked.votes,
    quorum: checked.quorum,
    validators: anchor.validators.size,
    handovers: anchor.handovers,
  };
  return { told, header: checked.header };
}

/** Accepts when the block with this hash is final under the ledger that begins with `genesis`. */
export async function verifyBlock(
  wanted: string,
  proof: Uint8Array,
  genesis: Uint8Array,
): Promise<Finality> {
  const { told } = await checkBlock(read(proof), genesis);
  if (told.block !== wanted) throw new ProofError("the proof is of another block");
  return told;
}

/** RFC 9162, section 2.1.3.2. */
export async function rootOf(
  leaf: Uint8Array,
  index: bigint,
  size: bigint,
  path: Uint8Array[],
): Promise<Uint8Array> {
  if (index < 0n || index >= size) throw new ProofError("the place is outside the history");
  let [fn, sn, node] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (sn === 0n) throw new ProofError("the Merkle path is too long");
    if ((fn & 1n) === 1n || fn === sn) {
      node = await sha256(Uint8Array.of(1), sibling, node);
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      node = await sha256(Uint8Array.of(1), node, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  if (sn !== 0n) throw new ProofError("the Merkle path is too short");
  return node;
}

/**
 * Accepts when the transaction is in the history of a final block, and, where its own bytes are
 * given, when they are the ones that the history names.
 */
export async function verifyTransaction(
  wanted: string,
  bytes: Uint8Array,
  genesis: Uint8Array,
  envelope: Uint8Array | null,
): Promise<Inclusion> {
  const proof = read(bytes);
  const { told, header } = await checkBlock(field(proof, "block"), genesis);
  const entry = field(proof, "entry");
  const transaction = hex(bytesOf(field(entry, "transaction"), 32));
  if (transaction !== wanted) throw new ProofError("the proof is of another transaction");
  const historyIndex = integer(field(proof, "history_index"));
  const historySize = integer(field(header, "history_size"));
  const path = list(field(proof, "path")).map((node) => bytesOf(node, 32));
  const leaf = await sha256(Uint8Array.of(0), entry.bytes);
  const root = await rootOf(leaf, historyIndex, historySize, path);
  if (!same(root, bytesOf(field(header, "history"), 32))) {
    throw new ProofError("the transaction is not in the history that the validators signed");
  }
  if (envelope !== null) await checkEnvelope(envelope, entry, wanted);
  const outcome = field(entry, "outcome");
  return {
    ...told,
    transaction,
    outcome: outcome.kind === "text" && outcome.value === "applied" ? "applied" : "refused",
    historyIndex,
    historySize,
    path: path.length,
  };
}

async function checkEnvelope(envelope: Uint8Array, entry: Item, wanted: string) {
  const hash = await sha256(Uint8Array.of(0), envelope);
  if (!same(hash, bytesOf(field(entry, "envelope"), 32))) {
    throw new ProofError("the transaction's bytes are not the ones that the history names");
  }
  const id = await tagged("salus-ledger/transaction-id/v1", payloadOf(envelope));
  if (hex(id) !== wanted) throw new ProofError("the transaction's payload has another id");
}

/** What was signed, out of a tagged COSE_Sign. */
function payloadOf(envelope: Uint8Array): Uint8Array {
  const cose = read(envelope);
  const parts = cose.kind === "tag" && cose.tag === 98n ? list(cose.value) : [];
  const payload = parts[2];
  if (payload === undefined) throw new ProofError("the transaction is no COSE_Sign");
  return bytesOf(payload);
}

/** What a transaction says, read from its own bytes: bytes as hexadecimal, numbers as text. */
export function contentOf(envelope: Uint8Array): unknown {
  const call = plain(field(read(payloadOf(envelope)), "call"));
  if (typeof call === "object" && call !== null) return Object.values(call)[0] ?? null;
  return call;
}

/** As the JSON of the API has it. */
export function plain(item: Item): unknown {
  switch (item.kind) {
    case "integer": {
      const value = Number(item.value);
      return Number.isSafeInteger(value) ? value : item.value.toString();
    }
    case "bytes":
      return hex(item.value);
    case "array":
      return item.value.map(plain);
    case "map":
      return Object.fromEntries(item.value.map(([key, value]) => [String(plain(key)), plain(value)]));
    case "tag":
      return plain(item.value);
    default:
      return item.value;
  }
}
