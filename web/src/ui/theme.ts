import { useSyncExternalStore } from "react";

const KEY = "salus.theme";
type Theme = "light" | "dark";

function known(): Theme | null {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : null;
}

export function isDark(): boolean {
  return (known() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function show(theme: Theme | null): void {
  if (theme === null) delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

export function setTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  show(theme);
}

/** Whether the page is dark now, for what is drawn and not styled. */
export function useIsDark(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const seen = new MutationObserver(changed);
      seen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
      const system = matchMedia("(prefers-color-scheme: dark)");
      system.addEventListener("change", changed);
      return () => {
        seen.disconnect();
        system.removeEventListener("change", changed);
      };
    },
    isDark,
  );
}

/** The choice made before, or else the system's. */
export function showKnownTheme(): void {
  show(known());
}
