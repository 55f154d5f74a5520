import { useEffect, useState } from "react";

const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"] as const;

/**
 * Whether somebody was at the page within `milliseconds`.
 *
 * A page that asks by itself would keep its session for ever: whoever walks away from a screen is
 * signed out after half an hour only if the page falls silent first.
 */
export function useAttended(milliseconds: number): boolean {
  const [attended, setAttended] = useState(true);
  useEffect(() => {
    let timer = setTimeout(() => setAttended(false), milliseconds);
    const seen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => setAttended(false), milliseconds);
      setAttended(true);
    };
    for (const sign of SIGNS) window.addEventListener(sign, seen, { passive: true });
    return () => {
      clearTimeout(timer);
      for (const sign of SIGNS) window.removeEventListener(sign, seen);
    };
  }, [milliseconds]);
  return attended;
}
