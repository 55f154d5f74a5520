import { DatasetLink, Hash, MemberLink, PermitLink, ReceiptLink, TransactionLink } from "./parts";

const WORDS: Record<string, string> = {
  actor: "Pseudonymous key",
  pseudonym: "Pseudonymous key",
  uses: "Used",
  optout_epoch: "Opt-out epoch",
  input: "Input, salted commitment",
  result: "Result, salted hash",
  commitment: "Salted commitment",
  gate: "Gate decision",
  report: "Checks' report, salted digest",
  score: "Score of the automatic checks",
  approvals: "Approved by the keys",
  least_score: "Least score",
  delta: "δ is 10 to the minus",
  bounded: "At most, in µρ",
  budget: "Budget, in µρ",
};

function label(name: string): string {
  const known = WORDS[name];
  if (known !== undefined) return known;
  const spaced = name.replaceAll("_", " ").replaceAll("-", " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

const isHash = (text: string) => /^[0-9a-f]{32,}$/.test(text);

/** What a transaction says, field by field, with links where the ledger has a page. */
export function Content({ value, name = "" }: { value: unknown; name?: string }) {
  if (value === null || value === undefined) return <span className="muted">none</span>;
  if (typeof value === "string") return <Word name={name} text={value} />;
  if (typeof value !== "object") return <span className="figure">{String(value)}</span>;
  if (Array.isArray(value)) return <Values items={value as unknown[]} name={name} />;
  const fields = Object.entries(value);
  const dataset = asDataset(fields);
  if (dataset !== null) return <DatasetLink id={dataset} />;
  if (fields.length === 0) return <span className="muted">nothing more</span>;
  return (
    <dl className="content">
      {fields.map(([field, inner]) => (
        <div key={field}>
          <dt>{isHash(field) ? <Hash value={field} name="a key" /> : label(field)}</dt>
          <dd>
            <Content value={inner} name={field} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Values({ items, name }: { items: unknown[]; name: string }) {
  if (items.length === 0) return <span className="muted">none</span>;
  const plain = items.every((item) => typeof item === "string" && !isHash(item));
  if (plain && !["member", "permit", "receipt"].includes(name)) {
    return <span>{items.join(", ")}</span>;
  }
  return (
    <ol className="content-list">
      {items.map((item, at) => (
        <li key={at}>
          <Content value={item} name={name} />
        </li>
      ))}
    </ol>
  );
}

function Word({ name, text }: { name: string; text: string }) {
  if (text.startsWith("permit-")) return <PermitLink id={text} />;
  if (text.startsWith("receipt-")) return <ReceiptLink id={text} />;
  if (["member", "holder", "owner", "to", "from", "payer", "worker"].includes(name)) {
    return <MemberLink id={text} />;
  }
  // A review has the id of the transaction that asked for it.
  if (name === "review" || name === "supersedes") return <TransactionLink id={text} />;
  if (isHash(text)) return <Hash value={text} name={label(name).toLowerCase()} />;
  return <span>{text}</span>;
}

function asDataset(fields: [string, unknown][]): string | null {
  const found = Object.fromEntries(fields);
  const { holder, dataset } = found;
  const fits = fields.length === 2 && typeof holder === "string" && typeof dataset === "string";
  return fits ? `${holder}/${dataset}` : null;
}
