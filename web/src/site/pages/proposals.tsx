import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Button, FileTrigger } from "react-aria-components";

import { Content } from "../../ui/content";
import { count, method, short } from "../../ui/format";
import { BlockLink, Explain, Facts, Hash, Page, Section, Table, TransactionLink } from "../../ui/parts";
import { Answer, Empty } from "../../ui/states";
import { platform, site, type HandedIn, type PlatformConfiguration, type Proposal } from "../api";
import { fromHex, toHex } from "../key";
import { Doing, Field, Trouble, Window, save, sentence } from "../parts";
import { useSession } from "../session";

/** The files of proposals are some kilobytes; what is much larger is something else. */
const MOST_BYTES = 100_000;

/** What the ledger's members decide together: a file that goes from one to the next. */
export function ProposalsPage() {
  const onLedger = useSession()?.who.ledger != null;
  const [proposal, setProposal] = useState<Proposal | null>(null);
  const [done, setDone] = useState<HandedIn | null>(null);
  const close = () => {
    setProposal(null);
    setDone(null);
  };
  return (
    <Page
      title="Proposals"
      lead="The ledger's configuration changes by a transaction that enough of its administrators signed. It goes from member to member as a file; each looks at what it would change before signing."
    >
      {!onLedger ? (
        <Empty>This site is on no ledger, so that there is nothing to decide on with others.</Empty>
      ) : done !== null && proposal !== null ? (
        <InForce done={done} proposal={proposal} onClose={close} />
      ) : proposal !== null ? (
        <Opened proposal={proposal} onChange={setProposal} onDone={setDone} onClose={close} />
      ) : (
        <Begin onOpened={setProposal} />
      )}
    </Page>
  );
}

function Begin({ onOpened }: { onOpened: (proposal: Proposal) => void }) {
  const query = useQuery(platform);
  return (
    <div className="columns">
      <Section title="Open a proposal">
        <div className="panel">
          <p>Somebody sent you a file: see what it would change, and who has signed it. Opening it signs nothing.</p>
          <Open onOpened={onOpened} />
        </div>
      </Section>
      <Section title="Propose another configuration">
        <Answer query={query}>{(now) => <Propose now={now} onOpened={onOpened} />}</Answer>
      </Section>
    </div>
  );
}

function Open({ onOpened }: { onOpened: (proposal: Proposal) => void }) {
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isOpening, setOpening] = useState(false);
  const open = async (file: File | null) => {
    if (file === null) return;
    setTrouble(null);
    if (file.size > MOST_BYTES) {
      setTrouble(`${file.name} is too large to be a proposal.`);
      return;
    }
    setOpening(true);
    try {
      onOpened(await site.openProposal(toHex(new Uint8Array(await file.arrayBuffer()))));
    } catch (error) {
      setTrouble(sentence(error));
    } finally {
      setOpening(false);
    }
  };
  return (
    <>
      <Trouble>{trouble}</Trouble>
      <div className="actions">
        <FileTrigger onSelect={(files) => void open(files?.item(0) ?? null)}>
          <Button className="primary" aria-busy={isOpening}>
            {isOpening ? "One moment…" : "Choose the file…"}
          </Button>
        </FileTrigger>
      </div>
    </>
  );
}

type Limit = "block_bytes" | "block_transactions" | "lifetime_blocks" | "clock_skew_ms";

const LIMITS: [Limit, string, string][] = [
  ["block_bytes", "Bytes of one block, at most", "bytes"],
  ["block_transactions", "Transactions of one block, at most", "transactions"],
  ["lifetime_blocks", "Blocks that a transaction waits, at most", "blocks"],
  ["clock_skew_ms", "Difference of clocks, at most", "ms"],
];

/** A whole number from 1 on, or none where nothing is typed; undefined where it is something else. */
function typed(text: string): number | null | undefined {
  if (text.trim() === "") return null;
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

function Propose({ now, onOpened }: { now: PlatformConfiguration; onOpened: (proposal: Proposal) => void }) {
  const [agree, setAgree] = useState("");
  const [limits, setLimits] = useState<Partial<Record<Limit, string>>>({});
  const wrong = (text: string) => (typed(text) === undefined ? "A whole number from 1 on, or nothing to leave it." : null);
  const texts = [agree, ...Object.values(limits)];
  const isReady = texts.some((text) => text.trim() !== "") && texts.every((text) => typed(text) !== undefined);
  const propose = async () => {
    const of = (limit: Limit) => typed(limits[limit] ?? "") ?? null;
    onOpened(
      await site.propose({
        agree: typed(agree) ?? null,
        add_validators: [],
        remove_validators: [],
        require: [],
        no_require: [],
        block_bytes: of("block_bytes"),
        block_transactions: of("block_transactions"),
        lifetime_blocks: of("lifetime_blocks"),
        clock_skew_ms: of("clock_skew_ms"),
      }),
    );
  };
  return (
    <div className="panel">
      <p>
        On configuration {count(now.version)}, which is in force. What you leave empty stays. It is signed with this
        site&rsquo;s key and takes effect only once it is handed in with enough signatures.
      </p>
      <Doing label="Make the proposal" action={propose} isReady={isReady}>
        <Field
          label="Administrators who have to agree from then on"
          value={agree}
          onChange={setAgree}
          type="number"
          required={false}
          hint={`Now: ${now.governance}`}
          error={wrong(agree)}
        />
        {LIMITS.map(([limit, label, unit]) => (
          <Field
            key={limit}
            label={label}
            value={limits[limit] ?? ""}
            onChange={(text) => setLimits((old) => ({ ...old, [limit]: text }))}
            type="number"
            required={false}
            hint={`Now: ${count(now[limit])} ${unit}`}
            error={wrong(limits[limit] ?? "")}
          />
        ))}
      </Doing>
      <p className="muted note">
        Validators, authorities and who else has to sign a method are proposed by <code>salus ledger propose</code>; such a
        file is opened and endorsed here too.
      </p>
    </div>
  );
}

function Opened({
  proposal,
  onChange,
  onDone,
  onClose,
}: {
  proposal: Proposal;
  onChange: (proposal: Proposal) => void;
  onDone: (done: HandedIn) => void;
  onClose: () => void;
}) {
  const [asked, setAsked] = useState<"endorse" | "submit" | null>(null);
  const client = useQueryClient();
  const isLate = proposal.last_block < proposal.block;
  const isDead = proposal.overtaken || isLate;
  const back = () => setAsked(null);
  const download = () => {
    const name = `proposal-${proposal.transaction.slice(0, 12)}-${proposal.signed_by.length}.cose`;
    save(name, new Blob([fromHex(proposal.file)], { type: "application/cose" }));
  };
  return (
    <>
      <div className="decision">
        {proposal.overtaken ? (
          <p className="refused">
            Another change has come before this one: the ledger will refuse it. It has to be proposed anew on what is in
            force now.
          </p>
        ) : isLate ? (
          <p className="refused">Its time is over: it could be handed in up to block {count(proposal.last_block)}.</p>
        ) : (
          <p>
            {proposal.signed_here
              ? "This site has signed it. Download it and send it to whoever has to agree, or hand it in once enough have."
              : "This site has not signed it. Endorse it only if you want what stands below."}
          </p>
        )}
        <div className="actions">
          {!isDead && !proposal.signed_here ? (
            <Button className="primary" onPress={() => setAsked("endorse")}>
              Endorse…
            </Button>
          ) : null}
          {isDead ? null : (
            <Button className={proposal.signed_here ? "primary" : ""} onPress={download}>
              Download
            </Button>
          )}
          {isDead ? null : <Button onPress={() => setAsked("submit")}>Hand it in…</Button>}
          <Button className="quiet" onPress={onClose}>
            Close it
          </Button>
        </div>
      </div>
      <Section title={proposal.changes == null ? method(proposal.method) : "What it would change"}>
        <Changes proposal={proposal} />
      </Section>
      <Section title="Signatures">
        <Facts
          items={[
            ["Has to agree", proposal.governance],
            [
              "Signed by",
              <ul className="about">
                {proposal.signed_by.map((member) => (
                  <li key={member}>{member.length > 20 ? <code title={member}>{short(member)}</code> : member}</li>
                ))}
              </ul>,
            ],
            [
              "May be handed in",
              <span className="figure">
                up to block {count(proposal.last_block)}; the ledger is at {count(proposal.block)}
              </span>,
            ],
            [
              <Explain word="Transaction">
                <p>
                  What all sign is the same: its hash. A file that differs in a single digit has another one, and no
                  signature on it holds.
                </p>
              </Explain>,
              <Hash value={proposal.transaction} name="the transaction's hash" />,
            ],
          ]}
        />
      </Section>
      <Window
        title={asked === "endorse" ? "Endorse it" : "Hand it in"}
        isOpen={asked !== null}
        onClose={back}
      >
        {asked === "endorse" ? (
          <Doing
            label="Sign it in this organisation's name"
            action={async () => {
              onChange(await site.endorse(proposal.file));
              back();
            }}
          >
            <p>
              The signature cannot be taken back: whoever has the file may hand it in until block{" "}
              {count(proposal.last_block)}. Your name stands beside it in this site&rsquo;s own history.
            </p>
          </Doing>
        ) : null}
        {asked === "submit" ? (
          <Doing
            label="Hand it in"
            action={async () => {
              const done = await site.handIn(proposal.file);
              await client.invalidateQueries({ queryKey: ["platform"] });
              await client.invalidateQueries({ queryKey: ["configuration"] });
              back();
              onDone(done);
            }}
          >
            <p>The ledger checks every signature, and refuses it unless enough have agreed: {proposal.governance}.</p>
          </Doing>
        ) : null}
      </Window>
    </>
  );
}

function Changes({ proposal }: { proposal: Proposal }) {
  if (proposal.changes == null) return <Content value={proposal.content} />;
  if (proposal.changes.length === 0) return <Empty>Nothing: what it says holds already.</Empty>;
  return (
    <Table label="What it would change">
      <thead>
        <tr>
          <th scope="col">Setting</th>
          <th scope="col">In force</th>
          <th scope="col">Proposed</th>
        </tr>
      </thead>
      <tbody>
        {proposal.changes.map((one) => (
          <tr key={one.setting}>
            <th scope="row">{one.setting}</th>
            <td className="figure">
              {one.before === null ? <span className="muted">nothing</span> : <del>{one.before}</del>}
            </td>
            <td className="figure">{one.after === null ? <span className="muted">nothing</span> : <ins>{one.after}</ins>}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

function InForce({ done, proposal, onClose }: { done: HandedIn; proposal: Proposal; onClose: () => void }) {
  return (
    <>
      <div className="decision" role="status">
        <h2>It is in force</h2>
        <p>
          {method(proposal.method)} by transaction <TransactionLink id={done.transaction} /> in block{" "}
          <BlockLink height={done.block} />.
        </p>
        <div className="actions">
          <Button onPress={onClose}>To the proposals</Button>
        </div>
      </div>
      <Section title={proposal.changes == null ? "What it said" : "What it changed"}>
        <Changes proposal={proposal} />
      </Section>
    </>
  );
}
