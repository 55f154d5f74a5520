/**
 * The console's token. It is kept for this tab and this origin alone (a cookie would go to every
 * port of this machine), and leaves in a header that no other origin can set.
 */

const KEY = "salus.token";

/** Takes a token out of the address, where `salus` puts it, so that it stays in no history. */
export function takeFromAddress(): void {
  const match = /^#token=([0-9a-f]{64})$/.exec(window.location.hash);
  if (match?.[1] === undefined) return;
  sessionStorage.setItem(KEY, match[1]);
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
}

export function token(): string | null {
  return sessionStorage.getItem(KEY);
}

export function keepToken(text: string): void {
  sessionStorage.setItem(KEY, text.trim().toLowerCase());
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
}
