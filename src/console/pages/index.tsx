import type { JSX } from "preact";
import { decodeSegment, type Place } from "../router.ts";
import { TARGETS } from "../targets/index.ts";
import type { TargetPage } from "../targets/target.ts";
import { LoginPage } from "./login.tsx";
import { NotFoundPage } from "./not-found.tsx";
import { OperationPage } from "./operation.tsx";
import { OperationsPage } from "./operations.tsx";
import { ProjectPage } from "./project.tsx";
import { TargetsPage } from "./targets.tsx";

const isOneOf =
  (first: string) =>
  ([one, id, ...more]: readonly string[]) =>
    one === first && id !== undefined && more.length === 0;

const PAGES: readonly TargetPage[] = [
  { matches: (segments) => segments.length === 0, Show: TargetsPage },
  { matches: ([one, ...more]) => one === "operations" && more.length === 0, Show: OperationsPage },
  { matches: isOneOf("operations"), Show: OperationPage },
  { matches: isOneOf("projects"), Show: ProjectPage },
  { matches: ([one, ...more]) => (one === "login" || one === "callback") && more.length === 0, Show: LoginPage },
  ...TARGETS.flatMap(({ pages }) => pages),
];

/** The page of an address. */
export function pageOf({ segments }: Place): JSX.Element {
  const decoded = segments.map(decodeSegment);
  const known = decoded.every((segment) => segment !== undefined) ? decoded : undefined;
  const page = known && PAGES.find(({ matches }) => matches(known));
  if (known === undefined || page === undefined) return <NotFoundPage path={segments.join("/")} />;
  const { Show } = page;
  return <Show key={segments.join("/")} segments={known} />;
}
