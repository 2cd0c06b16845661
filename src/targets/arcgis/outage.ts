import type { VendorDeployment } from "./answers.ts";

interface Risk {
  readonly key: "type" | "provider" | "mode";
  readonly values: readonly string[];
  /** Continues "deployment ID ". */
  readonly outage: string;
}

const STORE = "is a data store: while it restarts, what is kept in it is away, and every service that reads it with it";

/**
 * Deployments that others depend on (contracts: arcgis §A.3 with its enumerations, and its caution). The first that holds is told.
 */
const RISKS: readonly Risk[] = [
  {
    key: "type",
    values: ["System"],
    outage:
      "is the site's own (its API, its sign-in or its ingress): while it restarts, the site may not answer at all",
  },
  {
    key: "type",
    values: ["RelationalStore", "ObjectStore", "SpatiotemporalIndexStore", "InMemoryStore", "QueueServer"],
    outage: STORE,
  },
  // What the stores run on: a store of a type that is not known yet is recognised by it.
  { key: "provider", values: ["Postgres", "MinIO", "Elasticsearch", "Ignite", "RabbitMQ"], outage: STORE },
  // Only what keeps state has members with different parts; all others are Shared or Dedicated.
  { key: "mode", values: ["Primary", "Standby", "Coordinator"], outage: STORE },
];

/** Types that serve requests of their own: every SERVER but the queue, and what calls webhooks. The set is open: new servers come. */
const isService = (type: string): boolean => /Server$/.test(type) || type === "WebhookProcessor";

/** Modes of what keeps no state. */
const STATELESS: ReadonlySet<string> = new Set(["Shared", "Dedicated"]);

/**
 * What refreshing a deployment takes from others, in words that continue "deployment ID "; undefined: nothing that is known. One of which
 * it is not known counts as one that others depend on.
 */
export function outageOf(deployment: VendorDeployment): string | undefined {
  const risk = RISKS.find(({ key, values }) => values.includes(deployment[key]));
  if (risk !== undefined) return risk.outage;
  const { type, mode } = deployment;
  if (!isService(type)) return `is of a type that is not known (${type || "none is told"}), and may be a data store`;
  return STATELESS.has(mode)
    ? undefined
    : `is of a mode that is not known (${mode || "none is told"}), and may keep what others need`;
}
