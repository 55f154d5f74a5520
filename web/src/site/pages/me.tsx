import { useState } from "react";

import { Facts, Page, Section, Time } from "../../ui/parts";
import { site } from "../api";
import { Doing, Field } from "../parts";
import { ROLE_WORDS, useSession } from "../session";
import { FactorSteps } from "./sign-in";

export function MePage() {
  const session = useSession();
  if (session === null) return null;
  const { who, changed } = session;
  const { account } = who;
  return (
    <Page title="Your account" lead={`${account.name} at ${account.member}`}>
      <Facts
        items={[
          ["Name to sign in", account.login],
          ["Role", ROLE_WORDS[account.role]],
          ["Organisation", account.member],
          [
            "Vouched for by",
            account.bound === null
              ? "this site alone; it is on no ledger"
              : `the organisation's key ${account.bound.key.slice(0, 12)}… on the ledger`,
          ],
          ["Second factor", account.second_factor ? "set up" : "none"],
          ["This session ends, UTC", <Time value={who.expires} />],
        ]}
      />
      <div className="columns">
        <Section title="Password">
          <ChangePassword onChanged={changed} />
        </Section>
        <Section title="Second factor">
          {account.second_factor ? (
            <p className="muted">
              It is set up. If you lose the phone, sign in with one of your recovery codes, or ask an
              administrator to take the factor away.
            </p>
          ) : (
            <FactorSteps onDone={changed} label="Set one up" />
          )}
        </Section>
      </div>
    </Page>
  );
}

function ChangePassword({ onChanged }: { onChanged: (who: Awaited<ReturnType<typeof site.who>>) => void }) {
  const [present, setPresent] = useState("");
  const [chosen, setChosen] = useState("");
  const [isDone, setDone] = useState(false);
  const change = async () => {
    onChanged(await site.password(present, chosen));
    setPresent("");
    setChosen("");
    setDone(true);
  };
  return (
    <Doing label="Change it" action={change} isReady={present !== "" && chosen !== ""}>
      <Field
        label="Present password"
        type="password"
        value={present}
        onChange={setPresent}
        autoComplete="current-password"
      />
      <Field
        label="New password"
        type="password"
        value={chosen}
        onChange={setChosen}
        autoComplete="new-password"
        hint="At least 12 characters. Every other session of yours ends."
      />
      {isDone ? <p role="status">It is changed.</p> : null}
    </Doing>
  );
}
