import { createContext, useContext } from "react";

import type { Role, Who } from "./api";

export interface Session {
  who: Who;
  changed: (who: Who) => void;
  leave: () => void;
}

/** Who has signed in; none on a validator's console, where nobody does. */
export const SessionContext = createContext<Session | null>(null);

export const useSession = () => useContext(SessionContext);

export function useRole(): Role | null {
  return useSession()?.who.account.role ?? null;
}

export const ROLE_WORDS: Record<Role, string> = {
  administrator: "Administrator",
  researcher: "Researcher",
  steward: "Data steward",
  technician: "Technician",
  auditor: "Auditor",
};

/** Where a person begins, by role. */
export const HOME: Record<Role, string> = {
  administrator: "/accounts",
  researcher: "/studio",
  steward: "/holdings",
  technician: "/devices",
  auditor: "/ledger",
};
