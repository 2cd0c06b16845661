import { stringify } from "yaml";

/** What a user of the control plane proves itself with: a bearer token, or a client certificate and its key in PEM. */
export type Credential = { readonly token: string } | { readonly cert: string; readonly key: string };

/** The text of a kubeconfig with one cluster and one context for each user, named like the user; the first is the current one. */
export function kubeconfig(server: string, ca: string, users: Readonly<Record<string, Credential>>): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const names = Object.keys(users);
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": names[0],
    clusters: [{ name: "loopback", cluster: { server, "certificate-authority-data": base64(ca) } }],
    contexts: names.map((name) => ({ name, context: { cluster: "loopback", user: name } })),
    users: Object.entries(users).map(([name, credential]) => ({
      name,
      user:
        "token" in credential
          ? { token: credential.token }
          : { "client-certificate-data": base64(credential.cert), "client-key-data": base64(credential.key) },
    })),
  });
}
