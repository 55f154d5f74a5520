import { count, epsilon } from "../../ui/format";
import { PermitLink, ReceiptLink, Section, Table, Time, TransactionLink } from "../../ui/parts";
import type { Outset } from "./contract";
import { sentence } from "./plan";
import { Files } from "./publish";

/** What was published of the dataset before, and what waits for reviewers. */
export function Before({ outset }: { outset: Outset }) {
  const { published, reviews } = outset;
  const unknown = outset.reviews_unknown ?? outset.permits_unknown;
  if (published.length === 0 && reviews.length === 0 && unknown === null) return null;
  return (
    <>
      {unknown === null ? null : (
        <Section title={reviews.length === 0 ? "Before reviewers" : "Before reviewers, not all"}>
          <p className="refused">What waits for reviewers could not be found out. {sentence(unknown)}</p>
        </Section>
      )}
      {reviews.length === 0 ? null : (
        <Section title="Before reviewers">
          <Table label="Before reviewers">
            <thead>
              <tr>
                <th scope="col">Review</th>
                <th scope="col">Permit</th>
                <th scope="col">Stands</th>
                <th scope="col" className="right">
                  Approved by
                </th>
                <th scope="col" className="right">
                  Score
                </th>
              </tr>
            </thead>
            <tbody>
              {reviews.map((one) => (
                <tr key={one.review}>
                  <th scope="row">
                    <TransactionLink id={one.review} />
                  </th>
                  <td>
                    <PermitLink id={one.permit} />
                  </td>
                  <td className={one.standing === "refused" ? "refused" : undefined}>{one.standing}</td>
                  <td className="right figure">
                    {one.found} of {one.needed}
                  </td>
                  <td className="right figure">{one.score ?? "–"}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Section>
      )}
      {published.length === 0 ? null : (
        <Section title="Published from it">
          <Table label="Published from it">
            <thead>
              <tr>
                <th scope="col">Dataset</th>
                <th scope="col">Kind</th>
                <th scope="col" className="right">
                  Records
                </th>
                <th scope="col" className="right">
                  Cost
                </th>
                <th scope="col">Receipt</th>
                <th scope="col">Made, UTC</th>
                <th scope="col">Files</th>
              </tr>
            </thead>
            <tbody>
              {published.map((one) => (
                <tr key={one.dataset}>
                  <th scope="row">
                    {one.dataset}
                    <small className="muted below">{one.purpose}</small>
                  </th>
                  <td>{one.kind}</td>
                  <td className="right figure">{count(one.records)}</td>
                  <td className="right figure nowrap">{one.epsilon === null ? "no bound" : `ε ${epsilon(one.epsilon)}`}</td>
                  <td>
                    <ReceiptLink id={one.receipt} />
                  </td>
                  <td>
                    <Time value={one.made} />
                  </td>
                  <td>
                    {one.complete ? (
                      <Files published={one} />
                    ) : (
                      <span className="refused">Not finished: give the same release again.</span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Section>
      )}
    </>
  );
}
