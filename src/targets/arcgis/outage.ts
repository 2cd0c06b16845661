import type { VendorDeployment } from "./answers.ts";

interface Risk {
  readonly key: "type" | "provider" | "mode";
  readonly values: readonly string[];
  /** Continues "deployment ID ". */
  readonly outage: string;
}

const STORE = "is a data store: while it restarts, what is kept in it is away, and every service that reads it with it";

/**
 * Deployments that others depend on (contracts: arcgis §A.3 with its enumerations, and its caution). The sets are open: a type that is
 * not named here, TileServer among them, serves requests of its own and is refreshed without being asked about.
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

/** What refreshing a deployment takes from others, in words that continue "deployment ID "; undefined: nothing that is known. */
export const outageOf = (deployment: VendorDeployment): string | undefined =>
  RISKS.find(({ key, values }) => values.includes(deployment[key]))?.outage;
