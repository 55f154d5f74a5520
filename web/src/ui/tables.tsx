import type { BlockLine, ReceiptLine, TransactionLine } from "../api/client";
import { method } from "./format";
import {
  AboutList,
  Amount,
  BlockLink,
  Count,
  DatasetLink,
  Hash,
  Outcome,
  PermitLink,
  ReceiptLink,
  Table,
  Time,
  TransactionLink,
} from "./parts";

export function Transactions({ items, label }: { items: TransactionLine[]; label: string }) {
  return (
    <Table label={label}>
      <thead>
        <tr>
          <th scope="col">Kind</th>
          <th scope="col">Transaction</th>
          <th scope="col">About</th>
          <th scope="col">Outcome</th>
          <th scope="col" className="right">
            Block
          </th>
          <th scope="col">Time, UTC</th>
        </tr>
      </thead>
      <tbody>
        {items.map((line) => (
          <tr key={line.id}>
            <th scope="row">{method(line.method)}</th>
            <td>
              <TransactionLink id={line.id} />
            </td>
            <td>
              <AboutList about={line.about} />
            </td>
            <td>
              <Outcome outcome={line.outcome} />
            </td>
            <td className="right">
              <BlockLink height={line.height} />
            </td>
            <td>
              <Time value={line.time} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function Blocks({ items, label }: { items: BlockLine[]; label: string }) {
  return (
    <Table label={label}>
      <thead>
        <tr>
          <th scope="col" className="right">
            Block
          </th>
          <th scope="col">Hash</th>
          <th scope="col">Kinds</th>
          <th scope="col" className="right">
            Transactions
          </th>
          <th scope="col" className="right">
            Votes
          </th>
          <th scope="col">Time, UTC</th>
        </tr>
      </thead>
      <tbody>
        {items.map((line) => (
          <tr key={line.height}>
            <th scope="row" className="right">
              <BlockLink height={line.height} />
            </th>
            <td>
              <Hash value={line.block} name={`the hash of block ${line.height}`} />
            </td>
            <td>{line.height === 0 ? "Genesis" : line.methods.map(method).join(", ") || "–"}</td>
            <td className="right">
              <Count value={line.transactions} />
              {line.refused > 0 ? <small className="refused"> {line.refused} refused</small> : null}
            </td>
            <td className="right">{line.height === 0 ? "–" : <Count value={line.votes} />}</td>
            <td>
              <Time value={line.time} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}

export function Receipts({ items, label }: { items: ReceiptLine[]; label: string }) {
  return (
    <Table label={label}>
      <thead>
        <tr>
          <th scope="col">Receipt</th>
          <th scope="col">Permit</th>
          <th scope="col">Datasets and what they were charged</th>
          <th scope="col" className="right">
            Block
          </th>
          <th scope="col">Time, UTC</th>
        </tr>
      </thead>
      <tbody>
        {items.map((line) => (
          <tr key={line.id}>
            <th scope="row">
              <ReceiptLink id={line.id} />
            </th>
            <td>
              <PermitLink id={line.permit} />
            </td>
            <td>
              <ul className="about">
                {line.charges.map((charge) => (
                  <li key={charge.dataset}>
                    <DatasetLink id={charge.dataset} /> <Amount loss={charge.loss} />
                  </li>
                ))}
              </ul>
            </td>
            <td className="right">
              <BlockLink height={line.height} />
            </td>
            <td>
              <Time value={line.time} />
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
