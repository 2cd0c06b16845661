import type { KubernetesObject } from "./world.ts";

/** The contract's users beside `admin` (see {@link Backend.users}), in its order. */
export const userNames: readonly string[] = ["patcher", "blind", "reader", "nobody", "intruder"];

/** The namespace whose service accounts' requests the API server's audit log has, and nobody else's. */
export const AUDITED = "test-audited";

/** What of the requests goes into the audit log, as JSON, which is YAML. */
export const auditPolicy = JSON.stringify({
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata", userGroups: [`system:serviceaccounts:${AUDITED}`] }, { level: "None" }],
});

const verbs: Readonly<Record<string, readonly string[]>> = {
  patcher: ["get", "list", "watch", "patch"],
  blind: ["patch"],
  reader: ["get", "list", "watch"],
};

/** The ClusterRoles and ClusterRoleBindings that give these users their rights; discovery is every authenticated user's. */
export function userRights(): KubernetesObject[] {
  return Object.entries(verbs).flatMap(([user, allowed]) => [
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: `test-${user}` },
      rules: [
        {
          apiGroups: ["apps"],
          resources: ["deployments", "statefulsets", "daemonsets", "replicasets"],
          verbs: allowed,
        },
        { apiGroups: ["argoproj.io"], resources: ["rollouts"], verbs: allowed },
      ],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: `test-${user}` },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: `test-${user}` },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }],
    },
  ]);
}
