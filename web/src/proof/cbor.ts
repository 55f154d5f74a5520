/**
 * Reads CBOR (RFC 8949) as the ledger writes it: deterministic, definite lengths, no floats.
 *
 * Each item remembers the bytes that it was read from, because hashes and signatures are over
 * those: nothing is ever written again here.
 */

export class CborError extends Error {}

export type Item =
  | { kind: "integer"; value: bigint; bytes: Uint8Array }
  | { kind: "bytes"; value: Uint8Array; bytes: Uint8Array }
  | { kind: "text"; value: string; bytes: Uint8Array }
  | { kind: "array"; value: Item[]; bytes: Uint8Array }
  | { kind: "map"; value: [Item, Item][]; bytes: Uint8Array }
  | { kind: "tag"; tag: bigint; value: Item; bytes: Uint8Array }
  | { kind: "simple"; value: boolean | null; bytes: Uint8Array };

const DEEPEST = 32;

/** Reads one item that fills the bytes. */
export function read(bytes: Uint8Array): Item {
  const reader = new Reader(bytes);
  const item = reader.item(0);
  if (reader.at !== bytes.length) throw new CborError("there are bytes behind the value");
  return item;
}

class Reader {
  at = 0;
  constructor(private readonly all: Uint8Array) {}

  private take(count: number): Uint8Array {
    const end = this.at + count;
    if (!Number.isSafeInteger(end) || end > this.all.length) {
      throw new CborError("the value ends too early");
    }
    const part = this.all.subarray(this.at, end);
    this.at = end;
    return part;
  }

  private head(): { major: number; argument: bigint; short: number } {
    const first = this.take(1)[0] ?? 0;
    const short = first & 31;
    const major = first >> 5;
    if (short < 24) return { major, argument: BigInt(short), short };
    if (short > 27) throw new CborError("an indefinite length, which the ledger never writes");
    let argument = 0n;
    for (const byte of this.take(1 << (short - 24))) argument = (argument << 8n) | BigInt(byte);
    return { major, argument, short };
  }

  private count(argument: bigint): number {
    if (argument > BigInt(this.all.length)) throw new CborError("a length beyond the value");
    return Number(argument);
  }

  item(depth: number): Item {
    if (depth > DEEPEST) throw new CborError("the value nests too deeply");
    const start = this.at;
    const { major, argument, short } = this.head();
    const bytes = () => this.all.subarray(start, this.at);
    switch (major) {
      case 0:
        return { kind: "integer", value: argument, bytes: bytes() };
      case 1:
        return { kind: "integer", value: -1n - argument, bytes: bytes() };
      case 2: {
        const value = this.take(this.count(argument));
        return { kind: "bytes", value, bytes: bytes() };
      }
      case 3: {
        const text = this.take(this.count(argument));
        const value = new TextDecoder("utf-8", { fatal: true }).decode(text);
        return { kind: "text", value, bytes: bytes() };
      }
      case 4: {
        const value: Item[] = [];
        for (let left = this.count(argument); left > 0; left--) value.push(this.item(depth + 1));
        return { kind: "array", value, bytes: bytes() };
      }
      case 5: {
        const value: [Item, Item][] = [];
        for (let left = this.count(argument); left > 0; left--) {
          const key = this.item(depth + 1);
          value.push([key, this.item(depth + 1)]);
        }
        return { kind: "map", value, bytes: bytes() };
      }
      case 6: {
        const value = this.item(depth + 1);
        return { kind: "tag", tag: argument, value, bytes: bytes() };
      }
      default: {
        if (short === 20 || short === 21) {
          return { kind: "simple", value: short === 21, bytes: bytes() };
        }
        if (short === 22) return { kind: "simple", value: null, bytes: bytes() };
        throw new CborError("a number or value that the ledger never writes");
      }
    }
  }
}

/** The value of a field of a struct. */
export function field(item: Item, name: string): Item {
  if (item.kind === "map") {
    for (const [key, value] of item.value) {
      if (key.kind === "text" && key.value === name) return value;
    }
  }
  throw new CborError(`the field '${name}' is missing`);
}

export function list(item: Item): Item[] {
  if (item.kind !== "array") throw new CborError("a list was expected");
  return item.value;
}

export function entries(item: Item): [Item, Item][] {
  if (item.kind !== "map") throw new CborError("a map was expected");
  return item.value;
}

export function bytesOf(item: Item, length?: number): Uint8Array {
  if (item.kind !== "bytes") throw new CborError("bytes were expected");
  if (length !== undefined && item.value.length !== length) {
    throw new CborError(`${length} bytes were expected, there are ${item.value.length}`);
  }
  return item.value;
}

export function integer(item: Item): bigint {
  if (item.kind !== "integer") throw new CborError("a number was expected");
  return item.value;
}
