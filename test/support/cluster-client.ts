import type { Answer } from "../../src/clouds/http.ts";
import { type Client, createClient, type Request } from "../../src/targets/kubernetes/client.ts";
import { type Credentials, openCredentials } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { createServerClock, type ServerClock } from "../../src/targets/kubernetes/cluster/server-clock.ts";
import { type Authority, type Certified, createAuthority } from "../cluster/certificates.ts";
import { type Folder, temporaryFolder } from "./folder.ts";

/** A raw client made as restartd makes it: of a kubeconfig. */
export interface ClusterClient extends AsyncDisposable {
  readonly client: Client;
  readonly credentials: Credentials;
  readonly folder: Folder;
  /** A request with what it must have; default GET /x, within a minute. */
  send(options?: Partial<Request>): Promise<Answer>;
}

/** The token of {@link openClusterClient}'s user, in its default. */
export const TOKEN = "tok-1";

/** Opens a client by a kubeconfig with one cluster and one user. */
export async function openClusterClient(cluster: object, user: object = { token: TOKEN }): Promise<ClusterClient> {
  const folder = await temporaryFolder();
  const credentials = openCredentials(
    { kubeconfig: await folder.kubeconfig(cluster, user) },
    {
      monotonic: () => performance.now(),
      now: () => new Date(),
      tell: () => {},
    },
  );
  const client = createClient(credentials, "restartd/test", testClock());
  return {
    client,
    credentials,
    folder,
    send: (options) => client.request(asRequest(options)),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** A server's clock that nothing is told of. */
export const testClock = (): ServerClock =>
  createServerClock({
    cluster: "test",
    monotonic: () => performance.now(),
    now: () => new Date(),
    warn: () => {},
  });

/** A request with what it must have; default GET /x, within a minute. */
export const asRequest = (options: Partial<Request> = {}): Request => ({
  method: "GET",
  path: "/x",
  signal: new AbortController().signal,
  timeoutMs: 60_000,
  ...options,
});

/** The authority of all TLS servers of a test file, and a certificate for 127.0.0.1 of it. */
export function loopbackCertificates(): { authority: Authority; certified: Certified; ca: string } {
  const authority = createAuthority("test authority");
  const certified = authority.issue({ commonName: "server", usage: "server", hosts: ["127.0.0.1"] });
  return { authority, certified, ca: Buffer.from(authority.cert).toString("base64") };
}
