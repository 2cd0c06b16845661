import type { SimulatorUser } from "./access.ts";

/** What a kubeconfig is made of. */
export interface KubeconfigOptions {
  /** Base address of the API server. */
  readonly url: string;
  /** Name of the cluster entry. */
  readonly cluster: string;
  readonly users: readonly SimulatorUser[];
  /** Default `admin`. */
  readonly currentContext?: string;
  /** Namespace of every context. Default none. */
  readonly namespace?: string;
  /** PEM of the CA, when the server speaks TLS. */
  readonly ca?: string | undefined;
}

/**
 * A kubeconfig with one context per user, named after the user, and one for `intruder`, whose token the server does not
 * know. It is JSON, which is YAML.
 */
export function kubeconfig(options: KubeconfigOptions): string {
  const people = [...options.users, { name: "intruder", token: "token-of-intruder" }];
  const cluster = {
    server: options.url,
    ...(options.ca === undefined ? {} : { "certificate-authority-data": Buffer.from(options.ca).toString("base64") }),
  };
  const namespace = options.namespace === undefined ? {} : { namespace: options.namespace };
  const document = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": options.currentContext ?? "admin",
    clusters: [{ name: options.cluster, cluster }],
    users: people.map(({ name, token }) => ({ name, user: { token } })),
    contexts: people.map(({ name }) => ({ name, context: { cluster: options.cluster, user: name, ...namespace } })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
