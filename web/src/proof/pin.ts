/**
 * The ledger that this browser saw first at this address. A validator that later shows another one
 * is told apart; whether the first was the right one, only a person can tell.
 */

const KEY = "salus.ledger";

export type Pin = "first" | "same" | "other";

export function pinned(): string | null {
  return localStorage.getItem(KEY);
}

export function comparePin(ledger: string): Pin {
  const known = localStorage.getItem(KEY);
  if (known === null) {
    localStorage.setItem(KEY, ledger);
    return "first";
  }
  return known === ledger ? "same" : "other";
}

/** A person says that the other ledger is meant. */
export function repin(ledger: string): void {
  localStorage.setItem(KEY, ledger);
}
