import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button, Menu, MenuItem, MenuTrigger } from "react-aria-components";

import { Page, Over, Section, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { accountHistory, accounts, LINES, site, type Account, type Invited, type Role } from "../api";
import { Choice, Doing, Field, Once, Window } from "../parts";
import { ROLE_WORDS, useRole, useSession } from "../session";

const ROLES = (Object.keys(ROLE_WORDS) as Role[]).map((role) => [role, ROLE_WORDS[role]] as const);

type Asked =
  | { what: "invite" }
  | { what: "role" | "again" | "factor" | "revoke"; of: Account }
  | { what: "invited"; invited: Invited };

export function AccountsPage() {
  const query = useQuery(accounts);
  const isAdministrator = useRole() === "administrator";
  const [open, setOpen] = useState<Asked | null>(null);
  const client = useQueryClient();
  const refresh = async () => {
    await client.invalidateQueries({ queryKey: ["accounts"] });
    await client.invalidateQueries({ queryKey: ["account-history"] });
  };
  return (
    <Page
      title="Users and roles"
      lead="Who may sign in here. Names stay on this site: on the ledger people appear under a key for each permit."
    >
      <Section
        title="Accounts"
        aside={
          isAdministrator ? (
            <Button className="primary" onPress={() => setOpen({ what: "invite" })}>
              Invite a person
            </Button>
          ) : (
            <span className="muted">Administrators change accounts; you read them.</span>
          )
        }
      >
        <Answer query={query}>
          {(list) => <Accounts list={list} onAsk={isAdministrator ? setOpen : null} />}
        </Answer>
      </Section>
      <Section title="What happened">
        <History list={query.data ?? []} />
      </Section>
      <Windows open={open} setOpen={setOpen} refresh={refresh} />
    </Page>
  );
}

const STATES: Record<Account["state"], string> = {
  invited: "invited",
  active: "active",
  revoked: "closed",
};

function Accounts({ list, onAsk }: { list: Account[]; onAsk: ((asked: Asked) => void) | null }) {
  return (
    <Table label="Accounts">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Signs in as</th>
          <th scope="col">Role</th>
          <th scope="col">Organisation</th>
          <th scope="col">Second factor</th>
          <th scope="col">On the ledger</th>
          <th scope="col">State</th>
          {onAsk === null ? null : (
            <th scope="col">
              <span className="hidden">Change</span>
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {list.map((one) => (
          <tr key={one.id} className={one.state === "revoked" ? "muted" : undefined}>
            <th scope="row">{one.name}</th>
            <td>{one.login}</td>
            <td>{ROLE_WORDS[one.role]}</td>
            <td>{one.member}</td>
            <td>{one.second_factor ? "set up" : "–"}</td>
            <td>{one.bound === null ? "–" : <code title={one.bound.key}>{one.bound.key.slice(0, 8)}…</code>}</td>
            <td>{STATES[one.state]}</td>
            {onAsk === null ? null : (
              <td className="right">
                {one.state === "revoked" ? null : <Actions of={one} onAsk={onAsk} />}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function Actions({ of, onAsk }: { of: Account; onAsk: (asked: Asked) => void }) {
  return (
    <MenuTrigger>
      <Button className="quiet" aria-label={`Change ${of.login}`}>
        Change
      </Button>
      <Over className="popover list" placement="bottom end">
        <Menu onAction={(key) => onAsk({ what: key as "role", of })}>
          <MenuItem id="role">Role…</MenuItem>
          <MenuItem id="again">New invitation…</MenuItem>
          {of.second_factor ? <MenuItem id="factor">Take the second factor away…</MenuItem> : null}
          <MenuItem id="revoke">Close the account…</MenuItem>
        </Menu>
      </Over>
    </MenuTrigger>
  );
}

function Windows({
  open,
  setOpen,
  refresh,
}: {
  open: Asked | null;
  setOpen: (asked: Asked | null) => void;
  refresh: () => Promise<void>;
}) {
  const close = () => setOpen(null);
  const done = async () => {
    close();
    await refresh();
  };
  const invited = async (invited: Invited) => {
    await refresh();
    setOpen({ what: "invited", invited });
  };
  const titles: Record<Asked["what"], string> = {
    invite: "Invite a person",
    invited: "The invitation",
    role: "Change the role",
    again: "New invitation",
    factor: "Take the second factor away",
    revoke: "Close the account",
  };
  return (
    <Window title={open === null ? "" : titles[open.what]} isOpen={open !== null} onClose={close}>
      {open?.what === "invite" ? <Invite onDone={invited} /> : null}
      {open?.what === "invited" ? <Code invited={open.invited} onClose={close} /> : null}
      {open?.what === "role" ? <ChangeRole of={open.of} onDone={done} /> : null}
      {open?.what === "again" ? (
        <Doing
          label="Make a new code"
          action={async () => invited(await site.inviteAgain(open.of.id))}
        >
          <p>
            {open.of.name} chooses a new password with it, and is signed out everywhere. The second
            factor stays.
          </p>
        </Doing>
      ) : null}
      {open?.what === "factor" ? (
        <Doing
          label="Take it away"
          danger
          action={async () => {
            await site.removeFactor(open.of.id);
            await done();
          }}
        >
          <p>
            Be sure that it is {open.of.name} who asks: from now on the password alone lets somebody
            set up a new one.
          </p>
        </Doing>
      ) : null}
      {open?.what === "revoke" ? (
        <Doing
          label={`Close the account of ${open.of.name}`}
          danger
          action={async () => {
            await site.revoke(open.of.id);
            await done();
          }}
        >
          <p>Sessions and invitations end at once. A closed account is not opened again.</p>
        </Doing>
      ) : null}
    </Window>
  );
}

function Invite({ onDone }: { onDone: (invited: Invited) => Promise<void> }) {
  const own = useSession()?.who.holder ?? "";
  const [login, setLogin] = useState("");
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role | "">("");
  const [member, setMember] = useState(own);
  const [key, setKey] = useState("");
  const isOther = member.trim() !== own;
  const invite = async () => {
    if (role === "") return;
    const vouching = isOther && key.trim() !== "" ? key.trim() : null;
    await onDone(await site.invite({ login, name, role, member: member.trim(), key: vouching }));
  };
  return (
    <Doing label="Make the invitation" action={invite} isReady={login !== "" && name !== "" && role !== ""}>
      <Field label="Name" value={name} onChange={setName} />
      <Field label="Signs in as" value={login} onChange={setLogin} hint="Letters, digits and . _ - @" />
      <Choice label="Role" value={role} options={ROLES} onChange={setRole} />
      <Field label="Organisation" value={member} onChange={setMember} />
      {isOther ? (
        <Field
          label="Its key on the ledger"
          value={key}
          onChange={setKey}
          required={false}
          hint="64 hexadecimal digits; the ledger has to allow the organisation what the role needs."
        />
      ) : null}
    </Doing>
  );
}

function Code({ invited, onClose }: { invited: Invited; onClose: () => void }) {
  return (
    <>
      <p>
        Give this code to {invited.account.name}, and to nobody else. It is shown this once and holds
        until <Time value={invited.expires} /> UTC.
      </p>
      <Once value={invited.code} label="the invitation code" />
      <div className="actions">
        <Button className="primary" onPress={onClose}>
          Done
        </Button>
      </div>
    </>
  );
}

function ChangeRole({ of, onDone }: { of: Account; onDone: () => Promise<void> }) {
  const [role, setRole] = useState<Role | "">(of.role);
  const change = async () => {
    if (role === "") return;
    await site.setRole(of.id, role);
    await onDone();
  };
  return (
    <Doing label="Change it" action={change} isReady={role !== of.role}>
      <p>{of.name} is signed out everywhere and begins anew in the new role.</p>
      <Choice label="Role" value={role} options={ROLES} onChange={setRole} />
    </Doing>
  );
}

const KINDS: Record<string, string> = {
  invited: "Invited",
  accepted: "Chose a password",
  "signed-in": "Signed in",
  failed: "A try to sign in failed",
  "recovery-used": "Used a recovery code",
  enrolled: "Set up a second factor",
  "factor-removed": "Second factor taken away",
  "password-changed": "Changed the password",
  "role-changed": "Role changed",
  bound: "Bound to a key on the ledger",
  revoked: "Closed",
  proposed: "Proposed something to the ledger's members",
  endorsed: "Endorsed a proposal",
  "handed-in": "Handed a proposal in",
};

function History({ list }: { list: Account[] }) {
  const [before, setBefore] = useState<number | undefined>(undefined);
  const query = useQuery(accountHistory(before));
  const named = (id: string) => {
    if (/^0+$/.test(id)) return "the operator";
    if (/^f+$/.test(id)) return "an unknown name";
    return list.find((one) => one.id === id)?.name ?? `${id.slice(0, 8)}…`;
  };
  return (
    <Answer query={query} empty={{ when: (events) => events.length === 0, say: "Nothing yet." }}>
      {(events) => (
        <>
          <Table label="What happened">
            <thead>
              <tr>
                <th scope="col">What</th>
                <th scope="col">Whose account</th>
                <th scope="col">By</th>
                <th scope="col">Time, UTC</th>
              </tr>
            </thead>
            <tbody>
              {events.map((event) => (
                <tr key={event.number}>
                  <th scope="row" className={event.kind === "failed" ? "refused" : undefined}>
                    {KINDS[event.kind] ?? event.kind}
                  </th>
                  <td>{named(event.account)}</td>
                  <td>{event.by === event.account ? "themselves" : named(event.by)}</td>
                  <td>
                    <Time value={event.at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
          <Older numbers={events.map((event) => event.number)} before={before} onBefore={setBefore} />
        </>
      )}
    </Answer>
  );
}

export function Older({
  numbers,
  before,
  onBefore,
}: {
  numbers: number[];
  before: number | undefined;
  onBefore: (before: number | undefined) => void;
}) {
  const last = numbers[numbers.length - 1];
  const more = numbers.length === LINES && last !== undefined && last > 1;
  if (before === undefined && !more) return null;
  return (
    <nav className="pager" aria-label="Pages">
      {before === undefined ? <span /> : <Button onPress={() => onBefore(undefined)}>Newest</Button>}
      {more ? <Button onPress={() => onBefore(last)}>Older</Button> : null}
    </nav>
  );
}
