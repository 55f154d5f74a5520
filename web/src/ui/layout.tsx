import { Link, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Button, Input, Label, SearchField, ToggleButton } from "react-aria-components";

import { overview } from "../api/queries";
import { forgetToken } from "../api/session";
import type { Role } from "../site/api";
import { ROLE_WORDS, useSession, type Session } from "../site/session";
import { short } from "./format";
import { isDark, setTheme } from "./theme";

const LEDGER = [
  ["/ledger", "Overview"],
  ["/blocks", "Blocks"],
  ["/transactions", "Transactions"],
  ["/receipts", "Receipts"],
  ["/permits", "Permits"],
  ["/datasets", "Datasets"],
  ["/members", "Members"],
  ["/configuration", "Configuration"],
] as const;

type Entry = readonly [to: string, name: string];

/** What a person does here, by role. */
const WORK: Record<Role, readonly Entry[]> = {
  administrator: [
    ["/accounts", "Users and roles"],
    ["/questions", "Questions"],
    ["/proposals", "Proposals"],
  ],
  researcher: [
    ["/studio", "Query studio"],
    ["/questions", "My questions"],
  ],
  steward: [
    ["/holdings", "Own datasets"],
    ["/releases", "Release studio"],
    ["/intake", "Intake"],
    ["/keys", "Keys"],
    ["/devices", "Devices"],
  ],
  technician: [["/devices", "Devices"]],
  auditor: [
    ["/questions", "Questions"],
    ["/accounts", "Users and roles"],
  ],
};

/** After a way to another page the keyboard, and a screen reader, go on where its content begins. */
function useContentFocus() {
  const { pathname } = useLocation();
  const before = useRef(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    document.getElementById("main")?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [pathname]);
}

function Group({ title, entries }: { title: string; entries: readonly Entry[] }) {
  return (
    <div className="group">
      <p>{title}</p>
      <ul>
        {entries.map(([to, name]) => (
          <li key={to}>
            <Link to={to} activeOptions={{ exact: false, includeSearch: false }}>
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function Layout() {
  useContentFocus();
  const session = useSession();
  const hasLedger = session === null || session.who.ledger !== null;
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <header className="top">
        <Link to="/" className="brand">
          <img src="/icon.svg" alt="" width="22" height="22" /> Salus
        </Link>
        {hasLedger ? <Search /> : null}
        {hasLedger ? <Network /> : <span className="network" />}
        <Theme />
        {session === null ? <Leave /> : <Person session={session} />}
      </header>
      <nav className="side" aria-label="Parts of the console">
        {session === null ? null : (
          <Group title={ROLE_WORDS[session.who.account.role]} entries={WORK[session.who.account.role]} />
        )}
        {hasLedger ? <Group title={session === null ? "Ledger explorer" : "Ledger"} entries={LEDGER} /> : null}
      </nav>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Search() {
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const go = (text: string) => {
    if (text.trim() !== "") void navigate({ to: "/search", search: { q: text.trim() } });
  };
  return (
    <SearchField className="search" value={typed} onChange={setTyped} onSubmit={go}>
      <Label className="hidden">Search the ledger</Label>
      <Input placeholder="Height, hash, id or name" />
      {typed === "" ? null : (
        <Button className="quiet" aria-label="Clear the search">
          clear
        </Button>
      )}
    </SearchField>
  );
}

function Network() {
  const { data } = useQuery(overview);
  if (data === undefined) return <span className="network" />;
  return (
    <span className="network" title={`Ledger ${data.ledger}`}>
      <code>{short(data.ledger)}</code>
      {data.kind === "demonstration" ? <strong>demonstration</strong> : null}
    </span>
  );
}

function Theme() {
  const [dark, setDark] = useState(isDark());
  const change = (wanted: boolean) => {
    setDark(wanted);
    setTheme(wanted ? "dark" : "light");
  };
  return (
    <ToggleButton className="quiet" isSelected={dark} onChange={change}>
      Dark
    </ToggleButton>
  );
}

function Person({ session }: { session: Session }) {
  const { account } = session.who;
  return (
    <>
      <Link to="/me" className="person" title={`${ROLE_WORDS[account.role]} at ${account.member}`}>
        {account.name}
      </Link>
      <Button className="quiet" onPress={session.leave}>
        Sign out
      </Button>
    </>
  );
}

function Leave() {
  const leave = () => {
    forgetToken();
    window.location.assign("/");
  };
  return (
    <Button className="quiet" onPress={leave}>
      Sign out
    </Button>
  );
}
