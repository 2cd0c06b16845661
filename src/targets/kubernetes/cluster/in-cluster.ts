import { isIPv6 } from "node:net";

/** What messages call the kubeconfig of {@link inClusterKubeconfig}. */
export const IN_CLUSTER = "the pod's service account";

/** Where a pod has its service account. */
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The kubeconfig that says what a pod knows of its cluster, so that it is read like any other.
 *
 * @param root stands before the service account's paths.
 */
export function inClusterKubeconfig(
  root: string,
  environment: Readonly<Record<string, string | undefined>>,
): Uint8Array {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "" } = environment;
  const cluster = {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    "certificate-authority": `${root}${ACCOUNT}/ca.crt`,
  };
  const name = "in-cluster";
  return Buffer.from(
    JSON.stringify({
      "current-context": name,
      contexts: [{ name, context: { cluster: name, user: name } }],
      clusters: [{ name, cluster }],
      users: [{ name, user: { tokenFile: `${root}${ACCOUNT}/token` } }],
    }),
  );
}
