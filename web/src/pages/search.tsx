import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";

import type { Found } from "../api/client";
import { search } from "../api/queries";
import { method, short } from "../ui/format";
import {
  BlockLink,
  DatasetLink,
  MemberLink,
  Page,
  PermitLink,
  ReceiptLink,
  Table,
  TransactionLink,
} from "../ui/parts";
import { Answer } from "../ui/states";

export function SearchPage() {
  const { q } = useSearch({ from: "/search" });
  const query = useQuery(search(q));
  return (
    <Page title="Search" lead={<>For &ldquo;{q}&rdquo;</>}>
      <Answer
        query={query}
        empty={{
          when: (data) => data.items.length === 0,
          say: "Nothing on this ledger has this height, hash, id or name. Hashes are found from four digits on, names from their beginning.",
        }}
      >
        {(data) => (
          <Table label="What was found">
            <thead>
              <tr>
                <th scope="col">Kind</th>
                <th scope="col">Found</th>
                <th scope="col">More</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((found) => (
                <tr key={`${found.kind} ${found.id}`}>
                  <th scope="row">{found.kind}</th>
                  <td>
                    <To found={found} />
                  </td>
                  <td>{found.hint == null ? "" : found.kind === "block" ? <code>{short(found.hint)}</code> : method(found.hint)}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        )}
      </Answer>
    </Page>
  );
}

function To({ found }: { found: Found }) {
  switch (found.kind) {
    case "block":
      return <BlockLink height={Number(found.id)} />;
    case "transaction":
      return <TransactionLink id={found.id} />;
    case "permit":
      return <PermitLink id={found.id} />;
    case "receipt":
      return <ReceiptLink id={found.id} />;
    case "member":
      return <MemberLink id={found.id} />;
    default:
      return <DatasetLink id={found.id} />;
  }
}
