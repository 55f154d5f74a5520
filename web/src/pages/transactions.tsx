import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import {
  Button,
  Label,
  ListBox,
  ListBoxItem,
  Select,
  SelectValue,
} from "react-aria-components";

import type { TransactionDetail } from "../api/client";
import { transaction, transactionProof, transactions } from "../api/queries";
import { contentOf } from "../proof/verify";
import { Content } from "../ui/content";
import { ALL_METHODS, count, method, short } from "../ui/format";
import {
  BlockLink,
  Explain,
  Facts,
  Hash,
  MemberLink,
  Outcome,
  Over,
  Page,
  PermitLink,
  ReceiptLink,
  Section,
  Time,
} from "../ui/parts";
import { Pager } from "../ui/pager";
import { TransactionProof } from "../ui/proof";
import { Answer } from "../ui/states";
import { Transactions } from "../ui/tables";

const ANY = "any";

export function TransactionsPage() {
  const filter = useSearch({ from: "/transactions" });
  const query = useQuery(transactions(filter));
  return (
    <Page title="Transactions">
      <Filters />
      <Answer
        query={query}
        empty={{
          when: (data) => data.items.length === 0 && data.next == null,
          say: "No transaction fits. Take a condition away, or look at another ledger.",
        }}
      >
        {(data) => (
          <>
            {data.items.length === 0 ? (
              <p className="muted">None among those that were looked at; there are older ones.</p>
            ) : (
              <Transactions items={data.items} label="Transactions" />
            )}
            <Pager at={filter.before} next={data.next} field="before" />
          </>
        )}
      </Answer>
    </Page>
  );
}

function Filters() {
  const filter = useSearch({ from: "/transactions" });
  const navigate = useNavigate({ from: "/transactions" });
  const set = (field: string, value: string | undefined) =>
    void navigate({ search: (old) => ({ ...old, [field]: value, before: undefined }) });
  const chips = (["member", "dataset", "permit", "contract"] as const).filter(
    (field) => filter[field] !== undefined,
  );
  return (
    <div className="filters">
      <Choice
        label="Kind"
        value={filter.method}
        options={ALL_METHODS.map((word) => [word, method(word)])}
        onChange={(value) => set("method", value)}
      />
      <Choice
        label="Outcome"
        value={filter.outcome}
        options={[
          ["applied", "Applied"],
          ["refused", "Refused"],
        ]}
        onChange={(value) => set("outcome", value)}
      />
      {chips.map((field) => (
        <span className="chip" key={field}>
          {field} <code>{short(filter[field] ?? "")}</code>
          <Button
            className="quiet"
            aria-label={`Take the condition on ${field} away`}
            onPress={() => set(field, undefined)}
          >
            remove
          </Button>
        </span>
      ))}
    </div>
  );
}

function Choice({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: string | undefined;
  options: [string, string][];
  onChange: (value: string | undefined) => void;
}) {
  return (
    <Select
      className="choice"
      value={value ?? ANY}
      onChange={(key) => onChange(key === ANY || key === null ? undefined : String(key))}
    >
      <Label>{label}</Label>
      <Button className="field">
        <SelectValue />
        <span aria-hidden="true">▾</span>
      </Button>
      <Over className="popover list" offset={4}>
        <ListBox>
          <ListBoxItem id={ANY}>Any</ListBoxItem>
          {options.map(([id, name]) => (
            <ListBoxItem id={id} key={id}>
              {name}
            </ListBoxItem>
          ))}
        </ListBox>
      </Over>
    </Select>
  );
}

export function TransactionPage() {
  const { id } = useParams({ from: "/transactions/$id" });
  const query = useQuery(transaction(id));
  return (
    <Answer query={query}>
      {(data) => (
        <Page
          title={method(data.line.method)}
          lead={
            <>
              <Outcome outcome={data.line.outcome} /> in block <BlockLink height={data.line.height} />
              , <Time value={data.line.time} /> UTC
            </>
          }
        >
          {data.line.outcome.word === "refused" ? (
            <p>
              The rule <code>{data.line.outcome.rule}</code> refused it. It changed nothing, and it
              can not be handed in again.
            </p>
          ) : null}
          <TransactionProof id={id} />
          <Facts items={facts(data)} />
          <Said data={data} />
        </Page>
      )}
    </Answer>
  );
}

function facts(data: TransactionDetail): Parameters<typeof Facts>[0]["items"] {
  const { line } = data;
  const created = data.created ?? "";
  return [
    ["Transaction", <Hash value={line.id} name="the transaction's id" />],
    ...(created === "" ? [] : [["Created", <Created id={created} />] as [string, React.ReactNode]]),
    ["Signed by", <Signers data={data} />],
    [
      "Place in the history",
      <span className="figure">
        {count(line.history_index)}, as number {count(data.index + 1)} of its block
      </span>,
    ],
    ["Block", <Hash value={data.block} name="the block's hash" />],
    [
      <Explain word="Hash of its bytes">
        <p>
          The history holds this hash for ever. Whoever kept the transaction can show that it is the
          one, even after its bytes were pruned here.
        </p>
      </Explain>,
      <Hash value={data.envelope} name="the hash of its bytes" />,
    ],
    ...(data.last == null
      ? []
      : [
          ["Could be recorded until block", <span className="figure">{count(data.last)}</span>] as [
            string,
            React.ReactNode,
          ],
        ]),
  ];
}

function Created({ id }: { id: string }) {
  if (id.startsWith("permit-")) return <PermitLink id={id} />;
  if (id.startsWith("receipt-")) return <ReceiptLink id={id} />;
  return <Hash value={id} name="the id of what it created" />;
}

function Signers({ data }: { data: TransactionDetail }) {
  if (data.signers.length === 0) return <span className="muted">pruned here</span>;
  return (
    <ul className="about">
      {data.signers.map((signer) => (
        <li key={signer.key}>
          {signer.member == null ? (
            <Explain word="a person, pseudonymously">
              <p>
                The key was made for one permit. The hub alone knows whose it is; the ledger does
                not.
              </p>
            </Explain>
          ) : (
            <MemberLink id={signer.member} />
          )}{" "}
          <Hash value={signer.key} name="the signer's key" />
        </li>
      ))}
    </ul>
  );
}

/** What it says: read by this browser from the bytes that it checked, where that worked. */
function Said({ data }: { data: TransactionDetail }) {
  const proof = useQuery(transactionProof(data.line.id));
  const envelope = proof.data?.envelope ?? null;
  const own = envelope === null ? undefined : contentOf(envelope);
  const value = own === undefined ? data.content : own;
  return (
    <Section title="What it says">
      {value == null ? (
        <p className="muted">
          The transaction itself was pruned on this validator. Its kind and its outcome stay, and
          another validator may still have it.
        </p>
      ) : (
        <>
          <Content value={value} />
          <p className="muted">
            {own === undefined
              ? "As the validator read it."
              : "Read by your browser from the bytes whose hash it checked."}{" "}
            <Link to="/transactions" search={{ method: data.line.method }}>
              Others of this kind
            </Link>
          </p>
        </>
      )}
    </Section>
  );
}
