import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Link,
  Navigate,
} from "@tanstack/react-router";
import type { ReactNode } from "react";

import { BlockPage, BlocksPage } from "./pages/blocks";
import { ConfigurationPage } from "./pages/configuration";
import { DatasetPage, DatasetsPage } from "./pages/datasets";
import { MemberPage, MembersPage } from "./pages/members";
import { OverviewPage } from "./pages/overview";
import { PermitPage, PermitsPage } from "./pages/permits";
import { ReceiptPage, ReceiptsPage } from "./pages/receipts";
import { SearchPage } from "./pages/search";
import { TransactionPage, TransactionsPage } from "./pages/transactions";
import type { DevicesWanted, Role, Show } from "./site/api";
import { BASE } from "./site/mode";
import { AccountsPage } from "./site/pages/accounts";
import { DevicesPage } from "./site/pages/devices";
import { QuestionsPage } from "./site/pages/history";
import { HoldingPage } from "./site/pages/holding";
import { HoldingsPage, KeysPage } from "./site/pages/holdings";
import { IntakePage } from "./site/pages/intake";
import { MePage } from "./site/pages/me";
import { ProposalsPage } from "./site/pages/proposals";
import { ReleasesPage } from "./site/pages/releases";
import { HOME, ROLE_WORDS, useRole } from "./site/session";
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

const home = createRoute({ getParentRoute: () => root, path: "/", component: Home });
const overview = createRoute({ getParentRoute: () => root, path: "/ledger", component: OverviewPage });

/** Where somebody begins who came to no page in particular. */
function Home() {
  const role = useRole();
  return <Navigate to={role === null ? "/ledger" : HOME[role]} replace />;
}

/** A page for some roles; the others are told so, and where to go. */
function forRoles(roles: Role[], Inner: () => ReactNode) {
  return function Guarded() {
    const role = useRole();
    if (role !== null && roles.includes(role)) return <Inner />;
    return (
      <div className="state" role="alert">
        <h1>Not for your role</h1>
        <p>
          {role === null
            ? "This page belongs to a site's console, where people sign in."
            : `You are signed in as ${ROLE_WORDS[role].toLowerCase()}; this page is for ${roles
                .map((one) => ROLE_WORDS[one].toLowerCase())
                .join(" or ")}. An administrator changes roles.`}
        </p>
        <p>
          <Link to="/">To where you begin</Link>
        </p>
      </div>
    );
  };
}

const sitePage = <P extends string>(path: P, roles: Role[], inner: () => ReactNode) =>
  createRoute({ getParentRoute: () => root, path, component: forRoles(roles, inner) });

const everybody: Role[] = ["administrator", "researcher", "steward", "technician", "auditor"];
// Fetched when it is first shown: the charts are half of the program.
const StudioPage = lazyRouteComponent(() => import("./site/pages/studio"), "StudioPage");
const studio = sitePage("/studio", ["researcher"], () => <StudioPage />);
const ReleasePage = lazyRouteComponent(() => import("./site/pages/release"), "ReleasePage");
const releases = sitePage("/releases", ["steward"], ReleasesPage);
const release = sitePage("/releases/$dataset", ["steward"], () => <ReleasePage />);
const questions = sitePage("/questions", ["administrator", "researcher", "auditor"], QuestionsPage);
const people = sitePage("/accounts", ["administrator", "auditor"], AccountsPage);
const proposals = sitePage("/proposals", ["administrator"], ProposalsPage);
const holdings = sitePage("/holdings", ["steward"], HoldingsPage);
const holding = sitePage("/holdings/$dataset", ["steward"], HoldingPage);
const intake = sitePage("/intake", ["steward"], IntakePage);
const keys = sitePage("/keys", ["steward"], KeysPage);

const SHOWS: readonly string[] = ["alerts", "vulnerable", "silent", "low-battery"] satisfies Show[];
const devices = createRoute({
  getParentRoute: () => root,
  path: "/devices",
  component: forRoles(["technician", "steward"], DevicesPage),
  validateSearch: (raw: Raw): DevicesWanted => ({
    show: SHOWS.find((one) => one === raw["show"]) as Show | undefined,
    os: word(raw["os"]),
    after: word(raw["after"]),
  }),
});
const me = sitePage("/me", everybody, MePage);
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
  basepath: BASE,
  routeTree: root.addChildren([
    home,
    studio,
    questions,
    people,
    proposals,
    holdings,
    holding,
    releases,
    release,
    intake,
    keys,
    devices,
    me,
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
