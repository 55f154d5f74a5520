import { createRootRoute, createRoute, createRouter, Link } from "@tanstack/react-router";

import { BlockPage, BlocksPage } from "./pages/blocks";
import { ConfigurationPage } from "./pages/configuration";
import { DatasetPage, DatasetsPage } from "./pages/datasets";
import { MemberPage, MembersPage } from "./pages/members";
import { OverviewPage } from "./pages/overview";
import { PermitPage, PermitsPage } from "./pages/permits";
import { ReceiptPage, ReceiptsPage } from "./pages/receipts";
import { SearchPage } from "./pages/search";
import { TransactionPage, TransactionsPage } from "./pages/transactions";
import { Layout } from "./ui/layout";

type Raw = Record<string, unknown>;

const word = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

const place = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

const outcome = (value: unknown): "applied" | "refused" | undefined =>
  value === "applied" || value === "refused" ? value : undefined;

const root = createRootRoute({ component: Layout, notFoundComponent: NotFound });

function NotFound() {
  return (
    <div className="state" role="alert">
      <h1>No such page</h1>
      <p>
        The address leads nowhere in this console. <Link to="/">To the overview</Link>
      </p>
    </div>
  );
}

const overview = createRoute({ getParentRoute: () => root, path: "/", component: OverviewPage });
const blocks = createRoute({
  getParentRoute: () => root,
  path: "/blocks",
  component: BlocksPage,
  validateSearch: (raw: Raw): { before?: number | undefined } => ({ before: place(raw["before"]) }),
});
const block = createRoute({
  getParentRoute: () => root,
  path: "/blocks/$name",
  component: BlockPage,
});

interface TransactionSearch {
  method?: string | undefined;
  contract?: string | undefined;
  member?: string | undefined;
  dataset?: string | undefined;
  permit?: string | undefined;
  outcome?: "applied" | "refused" | undefined;
  before?: number | undefined;
}

const transactions = createRoute({
  getParentRoute: () => root,
  path: "/transactions",
  component: TransactionsPage,
  validateSearch: (raw: Raw): TransactionSearch => ({
    method: word(raw["method"]),
    contract: word(raw["contract"]),
    member: word(raw["member"]),
    dataset: word(raw["dataset"]),
    permit: word(raw["permit"]),
    outcome: outcome(raw["outcome"]),
    before: place(raw["before"]),
  }),
});
const transaction = createRoute({
  getParentRoute: () => root,
  path: "/transactions/$id",
  component: TransactionPage,
});

interface RecordSearch {
  dataset?: string | undefined;
  permit?: string | undefined;
  before?: number | undefined;
}

const records = (raw: Raw): RecordSearch => ({
  dataset: word(raw["dataset"]),
  permit: word(raw["permit"]),
  before: place(raw["before"]),
});

const receipts = createRoute({
  getParentRoute: () => root,
  path: "/receipts",
  component: ReceiptsPage,
  validateSearch: records,
});
const receipt = createRoute({
  getParentRoute: () => root,
  path: "/receipts/$id",
  component: ReceiptPage,
});
const permits = createRoute({
  getParentRoute: () => root,
  path: "/permits",
  component: PermitsPage,
  validateSearch: records,
});
const permit = createRoute({
  getParentRoute: () => root,
  path: "/permits/$id",
  component: PermitPage,
});

const names = (raw: Raw): { after?: string | undefined } => ({ after: word(raw["after"]) });

const datasets = createRoute({
  getParentRoute: () => root,
  path: "/datasets",
  component: DatasetsPage,
  validateSearch: names,
});
const dataset = createRoute({
  getParentRoute: () => root,
  path: "/datasets/$holder/$name",
  component: DatasetPage,
});
const members = createRoute({
  getParentRoute: () => root,
  path: "/members",
  component: MembersPage,
  validateSearch: names,
});
const member = createRoute({
  getParentRoute: () => root,
  path: "/members/$id",
  component: MemberPage,
});
const configuration = createRoute({
  getParentRoute: () => root,
  path: "/configuration",
  component: ConfigurationPage,
});
const search = createRoute({
  getParentRoute: () => root,
  path: "/search",
  component: SearchPage,
  // Digits alone are taken for a number by the router.
  validateSearch: (raw: Raw): { q: string } => ({ q: String(raw["q"] ?? "") }),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    blocks,
    block,
    transactions,
    transaction,
    receipts,
    receipt,
    permits,
    permit,
    datasets,
    dataset,
    members,
    member,
    configuration,
    search,
  ]),
  defaultPreload: false,
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
