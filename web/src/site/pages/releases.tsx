import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { Count, Page, Table, Time } from "../../ui/parts";
import { Answer } from "../../ui/states";
import { holdings, type Holding } from "../api";

/** Of which dataset a release is made. */
export function ReleasesPage() {
  const query = useQuery(holdings);
  return (
    <Page
      title="Release studio"
      lead="A dataset is measured, made anonymous or synthetic, attacked, and published with a certificate. Choose the one to begin with."
    >
      <Answer
        query={query}
        empty={{
          when: (list) => list.length === 0,
          say: "This lake is empty. Records come in with: salus import FILE --schema SCHEMA",
        }}
      >
        {(list) => <List list={list} />}
      </Answer>
    </Page>
  );
}

function List({ list }: { list: Holding[] }) {
  return (
    <Table label="Datasets">
      <thead>
        <tr>
          <th scope="col">Dataset</th>
          <th scope="col" className="right">
            Rows
          </th>
          <th scope="col">Written, UTC</th>
          <th scope="col">Privacy profile</th>
        </tr>
      </thead>
      <tbody>
        {list.map((one) => (
          <tr key={one.dataset}>
            <th scope="row">
              <Link to="/releases/$dataset" params={{ dataset: one.dataset }}>
                {one.dataset}
              </Link>
            </th>
            {one.locked === null ? (
              <>
                <td className="right">
                  <Count value={one.rows ?? 0} />
                </td>
                <td>{one.created === undefined ? "–" : <Time value={one.created} />}</td>
              </>
            ) : (
              <td colSpan={2} className="refused">
                does not open: {one.locked}
              </td>
            )}
            <td>{one.profiled ? "stated" : <span className="muted">none: it can be measured, not published</span>}</td>
          </tr>
        ))}
      </tbody>
    </Table>
  );
}
