/**
 * A permit's keys in this browser: one signs questions, the other opens answers.
 *
 * They come in a file that is sealed under a code, are opened here, and become keys of the
 * browser's own cryptography that no script can read again (`extractable: false`). They are kept in
 * the origin's IndexedDB as such. The node that serves this page never has them, in no form but the
 * sealed file that its owner may have written; what it gets are signatures. What this does not
 * protect from is the page itself: whoever serves another page can have questions signed while it is
 * open, as whoever sits at the keyboard can.
 */
import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";

import type { SignedRequest } from "./api";

const SEALING = "salus permit key for a browser v1";
const DATABASE = "salus-permit-keys";
const STORE = "keys";
const REQUEST_MICROS = 2n * 60n * 1_000_000n;

/** What a person may know of a key: it is not secret. */
export interface PermitKey {
  permit: string;
  ledger: string;
  /** The public half of the key that signs. */
  person: string;
  /** The public half of the key that opens. */
  recipient: string;
  sign: CryptoKey;
  open: CryptoKeyPair;
}

interface KeyFile {
  format: number;
  kind: string;
  ledger: string;
  permit: string;
  person: string;
  recipient: string;
  sealed: string;
}

const utf8 = new TextEncoder();

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0 || /[^0-9a-f]/.test(text)) throw new Error("this is no hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function length(bytes: number): Uint8Array {
  const eight = new Uint8Array(8);
  new DataView(eight.buffer).setBigUint64(0, BigInt(bytes));
  return eight;
}

/** Domain and parts, each behind its length: how Salus binds and hashes. */
function framed(domain: string, parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = [utf8.encode(domain), ...parts];
  return concat(...all.flatMap((part) => [length(part.length), part]));
}

async function digest(domain: string, parts: Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", framed(domain, parts)));
}

/** A private key of 32 bytes, in the wrapping that the browser's cryptography takes. */
function pkcs8(oid: number, secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, oid, 0x04, 0x22, 0x04, 0x20];
  return concat(Uint8Array.from(head), secret);
}

const X25519 = 0x6e;
const ED25519 = 0x70;

function parsed(text: string): KeyFile {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("This file is no permit key: it is not JSON. It is made by: salus permit key");
  }
  const { format, kind } = (file ?? {}) as Partial<KeyFile>;
  if (kind !== "salus permit key") {
    throw new Error("This file is no permit key. It is made by: salus permit key");
  }
  if (format !== 1) throw new Error("This permit key is of a newer Salus than this page.");
  return file as KeyFile;
}

/** The code as it was meant: groups, case and the letters that look like digits do not count. */
export function codeMeant(typed: string): string {
  return typed
    .toUpperCase()
    .replace(/[^0-9A-Z]/g, "")
    .replace(/O/g, "0")
    .replace(/[IL]/g, "1");
}

/** Opens a key file with its code; the keys that come out cannot be read again. */
export async function openKeyFile(text: string, code: string): Promise<PermitKey> {
  const file = parsed(text);
  const parent = await digest(SEALING, [utf8.encode(codeMeant(code))]);
  const base = await crypto.subtle.importKey("raw", parent, "HKDF", false, ["deriveKey"]);
  const key = await crypto.subtle.deriveKey(
    {
      name: "HKDF",
      hash: "SHA-256",
      salt: utf8.encode("salus/hkdf/v1"),
      info: framed(SEALING, []),
    },
    base,
    { name: "AES-GCM", length: 256 },
    false,
    ["decrypt"],
  );
  const sealed = fromHex(file.sealed);
  const bound = framed(SEALING, [fromHex(file.ledger), utf8.encode(file.permit)]);
  let secrets: Uint8Array;
  try {
    secrets = new Uint8Array(
      await crypto.subtle.decrypt(
        {
          name: "AES-GCM",
          iv: sealed.subarray(1, 13),
          additionalData: concat(Uint8Array.from([1]), bound),
        },
        key,
        sealed.subarray(13),
      ),
    );
  } catch {
    throw new Error("The code does not open this file. Compare both: each file has a code of its own.");
  }
  try {
    const sign = await crypto.subtle.importKey(
      "pkcs8",
      pkcs8(ED25519, secrets.subarray(0, 32)),
      "Ed25519",
      false,
      ["sign"],
    );
    const privateKey = await crypto.subtle.importKey(
      "pkcs8",
      pkcs8(X25519, secrets.subarray(32)),
      "X25519",
      false,
      ["deriveBits"],
    );
    const publicKey = await crypto.subtle.importKey("raw", fromHex(file.recipient), "X25519", true, []);
    const { permit, ledger, person, recipient } = file;
    return { permit, ledger, person, recipient, sign, open: { privateKey, publicKey } };
  } finally {
    secrets.fill(0);
  }
}

function database(): Promise<IDBDatabase> {
  return new Promise((done, failed) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "permit" });
    opening.onsuccess = () => done(opening.result);
    opening.onerror = () => failed(new Error("This browser keeps no keys: its storage is closed."));
  });
}

async function within<T>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const opened = await database();
  try {
    return await new Promise((done, failed) => {
      const request = work(opened.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(new Error("This browser did not keep the key."));
    });
  } finally {
    opened.close();
  }
}

export const keptKeys = (): Promise<PermitKey[]> => within("readonly", (store) => store.getAll());

export const keepKey = (key: PermitKey): Promise<unknown> =>
  within("readwrite", (store) => store.put(key));

export const forgetKey = (permit: string): Promise<unknown> =>
  within("readwrite", (store) => store.delete(permit));

function micros(at: bigint): Uint8Array {
  const eight = new Uint8Array(8);
  new DataView(eight.buffer).setBigInt64(0, at);
  return eight;
}

/** A moment as Salus writes it: RFC 3339 with microseconds. */
function written(at: bigint): string {
  const milliseconds = new Date(Number(at / 1000n)).toISOString();
  return milliseconds.replace("Z", `${String(at % 1000n).padStart(3, "0")}Z`);
}

/** Signs a question with the permit's key; the text is signed byte for byte. */
export async function signQuestion(
  key: PermitKey,
  asked: { holder: string; purpose: string; code: string; text: string },
): Promise<SignedRequest> {
  const deal = `q-${toHex(crypto.getRandomValues(new Uint8Array(16)))}`;
  const question = await digest("salus private question v1", [utf8.encode(asked.text)]);
  const issued = BigInt(Date.now()) * 1000n;
  const expires = issued + REQUEST_MICROS;
  const message = await digest("salus secondary request v1", [
    fromHex(key.ledger),
    utf8.encode(key.permit),
    utf8.encode(asked.holder),
    utf8.encode(deal),
    utf8.encode(asked.purpose),
    fromHex(asked.code),
    question,
    fromHex(key.recipient),
    micros(issued),
    micros(expires),
  ]);
  const domain = utf8.encode("salus secondary request v1");
  const scheme = utf8.encode("salus/ed25519/v1\0");
  const signed = concat(scheme, length(domain.length), domain, message);
  const signature = new Uint8Array(await crypto.subtle.sign("Ed25519", key.sign, signed));
  return {
    request: {
      ledger: key.ledger,
      permit: key.permit,
      holder: asked.holder,
      deal,
      purpose: asked.purpose,
      code: asked.code,
      question: toHex(question),
      recipient: key.recipient,
      issued: written(issued),
      expires: written(expires),
    },
    key: key.person,
    signature: btoa(String.fromCharCode(...signature)),
  };
}

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Chacha20Poly1305(),
});

/** Opens what was sealed to the permit's person under a deal. */
export async function openAnswer(
  key: PermitKey,
  under: { holder: string; deal: string },
  message: Uint8Array<ArrayBuffer>,
): Promise<string> {
  if (message[0] !== 1) throw new Error("The answer is of a newer Salus than this page.");
  const context = framed("salus secondary result v1", [
    fromHex(key.ledger),
    utf8.encode(key.permit),
    utf8.encode(under.holder),
    utf8.encode(under.deal),
  ]);
  const info = concat(utf8.encode("salus/hpke/"), Uint8Array.from([1]), context);
  const recipient = await suite.createRecipientContext({
    recipientKey: key.open,
    enc: message.slice(1, 33),
    info,
  });
  const opened = await recipient.open(message.slice(33), new Uint8Array(0));
  return new TextDecoder().decode(opened);
}

/** Whether an answer is the one whose salted hash stands in the receipt. */
export async function resultHash(salt: Uint8Array, message: Uint8Array): Promise<string> {
  return toHex(await digest("salus result v1", [salt, message]));
}
