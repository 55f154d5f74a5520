const COUNT = new Intl.NumberFormat("en-GB");
const RATIO = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

export function count(value: number): string {
  return COUNT.format(value);
}

/** ε: never shown smaller than it is. */
export function epsilon(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(value)));
  const scale = 10 ** Math.min(digits, 12);
  return RATIO.format(Math.ceil(value * scale - 1e-9) / scale);
}

/** A time of the ledger, which is UTC, to the second. */
export function time(text: string): string {
  return `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

export function day(text: string): string {
  return text.slice(0, 10);
}

/** How long before `now` a moment was, in one unit. */
export function ago(text: string, now: string): string {
  const seconds = Math.max(0, Math.round((Date.parse(now) - Date.parse(text)) / 1000));
  const units = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
  ] as const;
  for (const [size, unit] of units) {
    if (seconds >= 2 * size) return `${count(Math.floor(seconds / size))} ${unit} ago`;
  }
  return `${seconds} s ago`;
}

export function short(hash: string): string {
  return hash.length > 20 ? `${hash.slice(0, 8)}…${hash.slice(-6)}` : hash;
}

/** `permit-0123…cdef` out of a long id. */
export function shortId(id: string): string {
  const at = id.lastIndexOf("-");
  return at > 0 && id.length - at > 20 ? `${id.slice(0, at + 1)}${short(id.slice(at + 1))}` : id;
}

/** What a kind of transaction does, for people. */
const METHODS: Record<string, string> = {
  "members.admit": "Member admitted",
  "members.set-roles": "Member's roles changed",
  "members.revoke": "Membership ended",
  "members.bind-key": "Key bound",
  "members.revoke-key": "Key revoked",
  "members.publish-crl": "Revocation list published",
  "members.report-equivocation": "Double vote reported",
  "platform.change-config": "Configuration changed",
  "platform.activate-contract": "Contract version activated",
  "platform.mark-time": "Time marked",
  "datasets.register": "Dataset registered",
  "datasets.commit": "Dataset version committed",
  "datasets.set-policy": "Dataset policy set",
  "devices.register": "Device registered",
  "devices.retire": "Device retired",
  "permits.apply": "Permit applied for",
  "permits.grant": "Permit granted",
  "permits.refuse": "Permit refused",
  "permits.amend": "Permit amended",
  "permits.revoke": "Permit revoked",
  "optouts.advance": "Opt-out epoch advanced",
  "accounts.release": "Release recorded",
  "accounts.reserve": "Budget reserved",
  "accounts.commit": "Reserved release recorded",
  "accounts.cancel": "Reservation cancelled",
  "accounts.expire": "Reservations expired",
  "accounts.submit-review": "Submitted for review",
  "accounts.decide-review": "Reviewer decided",
  "accounts.set-review-rule": "Rule of review set",
  "market.issue": "Funds issued",
  "market.redeem": "Funds redeemed",
  "market.post-order": "Order posted",
  "market.cancel-order": "Order withdrawn",
  "market.open-deal": "Deal opened",
  "market.settle-deal": "Deal settled",
  "market.refund-deal": "Deal refunded",
  "artefacts.register": "Artefact registered",
  "artefacts.withdraw": "Artefact withdrawn",
};

export const ALL_METHODS = Object.keys(METHODS);

export function method(word: string): string {
  return METHODS[word] ?? word;
}
