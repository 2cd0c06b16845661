/** A deployment as the Administrator API lists it. */
export interface SimulatedDeployment {
  readonly deploymentId: string;
  readonly name: string;
  readonly type: string;
  readonly mode: string;
  readonly provider: string;
  /** Pods that there should be. Default 1. */
  readonly replicas?: number;
}

/** The deployments of the sandbox's site: a feature server, the relational store, and the Administrator API itself. */
export const sandboxWorld: readonly SimulatedDeployment[] = [
  {
    deploymentId: "kvyxph9w5h3o9vgk8dixn",
    name: "shared-featureserver",
    type: "FeatureServer",
    mode: "Shared",
    provider: "ArcObjects11",
    replicas: 2,
  },
  {
    deploymentId: "kcl3kjxkzpqxvqyr3eq9k",
    name: "relational-store-primary",
    type: "RelationalStore",
    mode: "Primary",
    provider: "Postgres",
  },
  {
    deploymentId: "kadm5n2q8w4r7t1y6u3zx",
    name: "enterprise-admin-api",
    type: "System",
    mode: "Undefined",
    provider: "Undefined",
  },
];
