// An authenticator app: RFC 6238 with SHA-1, six digits and thirty seconds.

import { createHmac } from "node:crypto";

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function bytes(base32) {
  const bits = [...base32].map((c) => DIGITS.indexOf(c).toString(2).padStart(5, "0")).join("");
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((eight) => Number.parseInt(eight, 2)));
}

/** The code of the present step, or of one beside it. */
export function totp(secret, beside = 0) {
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + beside));
  const mac = createHmac("sha1", bytes(secret)).update(step).digest();
  const at = mac[mac.length - 1] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
