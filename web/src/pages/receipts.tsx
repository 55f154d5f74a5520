import { useQuery } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { Button } from "react-aria-components";

import { bytes } from "../api/client";
import { permit, receipt, receipts } from "../api/queries";
import {
  BlockLink,
  Count,
  DatasetLink,
  Explain,
  Facts,
  Hash,
  Page,
  Section,
  Table,
  Time,
  TransactionLink,
} from "../ui/parts";
import { Pager } from "../ui/pager";
import { TransactionProof } from "../ui/proof";
import { ResultStrip } from "../ui/result-strip";
import { Answer } from "../ui/states";
import { Receipts } from "../ui/tables";

export function ReceiptsPage() {
  const filter = useSearch({ from: "/receipts" });
  const query = useQuery(receipts(filter));
  return (
    <Page
      title="Receipts"
      lead="One for each result that ever left a holder: under which permit, from which columns, at what cost."
    >
      <Answer
        query={query}
        empty={{
          when: (data) => data.items.length === 0 && data.next == null,
          say: "Nothing was released yet.",
        }}
      >
        {(data) => (
          <>
            <Receipts items={data.items} label="Receipts" />
            <Pager at={filter.before} next={data.next} field="before" />
          </>
        )}
      </Answer>
    </Page>
  );
}

async function download(id: string): Promise<void> {
  const file = await bytes(`receipts/${id}/file`);
  const address = URL.createObjectURL(new Blob([new Uint8Array(file)], { type: "application/cbor" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${id}.cbor`;
  link.click();
  URL.revokeObjectURL(address);
}

export function ReceiptPage() {
  const { id } = useParams({ from: "/receipts/$id" });
  const query = useQuery(receipt(id));
  return (
    <Answer query={query}>
      {(data) => (
        <Page
          title="Receipt"
          lead={
            <>
              In block <BlockLink height={data.line.height} />, <Time value={data.line.time} /> UTC
            </>
          }
        >
          {data.line.charges.map((charge) => (
            <Strip
              key={charge.dataset}
              line={data.line}
              dataset={charge.dataset}
              spent={charge.loss ?? null}
              one={data.line.charges.length === 1}
            />
          ))}
          <TransactionProof id={data.line.transaction} />
          <Facts
            items={[
              ["Receipt", <Hash value={data.line.id} name="the receipt's id" />],
              ["Transaction", <TransactionLink id={data.line.transaction} />],
              ["Person", <Maybe value={data.actor} name="the pseudonymous key" />],
              ["Code that ran", <Maybe value={data.code} name="the code's hash" />],
              [
                <Explain word="Input and result">
                  <p>
                    Salted hashes: they bind the holder to what was read and to what went out, and
                    tell nobody else anything. The salts stay off the ledger and are erased on
                    erasure.
                  </p>
                </Explain>,
                <>
                  <Maybe value={data.input} name="the input's commitment" />{" "}
                  <Maybe value={data.result} name="the result's hash" />
                </>,
              ],
              [
                "Where it ran",
                data.attestation === "premises" ? (
                  "on the holder's own premises"
                ) : (
                  <Maybe value={data.attestation} name="the digest of the evidence" />
                ),
              ],
              [
                "Release gate",
                data.review != null ? (
                  <>
                    <TransactionLink id={data.review} />, approved by{" "}
                    {data.approvals.map(({ key, member }, at) => (
                      <span key={key}>
                        {at > 0 && " and "}
                        <Hash value={key} name="a reviewer's key" />
                        {member != null && <> of {member}</>}
                      </span>
                    ))}
                  </>
                ) : data.gate != null ? (
                  <>
                    signed off by an officer: <Hash value={data.gate} name="the gate's decision" />
                  </>
                ) : (
                  "not needed: the loss is bounded"
                ),
              ],
            ]}
          />
          <Section
            title="What was read"
            aside={
              <Button onPress={() => void download(data.line.id)}>Receipt file, for offline checks</Button>
            }
          >
            <Table label="What was read">
              <thead>
                <tr>
                  <th scope="col">Dataset</th>
                  <th scope="col" className="right">
                    Version
                  </th>
                  <th scope="col">Columns</th>
                  <th scope="col" className="right">
                    Opt-out epoch
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.uses.map((used) => (
                  <tr key={used.dataset}>
                    <th scope="row">
                      <DatasetLink id={used.dataset} />
                    </th>
                    <td className="right">
                      <Count value={used.version} />
                    </td>
                    <td>
                      <code>{used.columns.join(", ")}</code>
                    </td>
                    <td className="right">
                      <Count value={used.opt_out_epoch} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </Table>
          </Section>
        </Page>
      )}
    </Answer>
  );
}

function Maybe({ value, name }: { value: string | null | undefined; name: string }) {
  return value == null ? <span className="muted">pruned here</span> : <Hash value={value} name={name} />;
}

/** The strip of one dataset; its name stands above where there are several. */
function Strip({
  line,
  dataset,
  spent,
  one,
}: {
  line: { id: string; permit: string; transaction: string };
  dataset: string;
  spent: Parameters<typeof ResultStrip>[0]["result"]["spent"];
  one: boolean;
}) {
  const query = useQuery(permit(line.permit));
  const left = query.data?.grounds.find((ground) => ground.dataset === dataset)?.left ?? null;
  return (
    <>
      {one ? null : <h2>{dataset}</h2>}
      <ResultStrip
        result={{ permit: line.permit, spent, left, receipt: { id: line.id, transaction: line.transaction } }}
      />
    </>
  );
}
