import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { createAuthority } from "../cluster/certificates.ts";

/** What a webhook is asked. Only what tests look at. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly dryRun: boolean;
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  readonly object: any;
}

/** What it says: allowed unless it says otherwise. */
export interface AdmissionAnswer {
  readonly allowed?: boolean;
  readonly status?: { readonly code?: number; readonly reason?: string; readonly message?: string };
  /** JSON Patch of a mutating webhook. */
  readonly patch?: readonly unknown[];
  readonly warnings?: readonly string[];
}

/** Decides about a request; undefined hangs up. */
export type Admit = (request: AdmissionRequest) => AdmissionAnswer | undefined | Promise<AdmissionAnswer | undefined>;

/** An admission webhook on loopback. */
export interface Webhook extends AsyncDisposable {
  /** `clientConfig` of a webhook configuration. */
  readonly clientConfig: { readonly url: string; readonly caBundle: string };
  admit: Admit;
  /** Requests that were not dry runs. */
  readonly requests: readonly AdmissionRequest[];
}

/** Serves an admission webhook over TLS, with a certificate of an authority of its own. */
export async function openWebhook(): Promise<Webhook> {
  const authority = createAuthority("webhook");
  const { cert, key } = authority.issue({ commonName: "webhook", usage: "server", hosts: ["127.0.0.1"] });
  const requests: AdmissionRequest[] = [];
  let admit: Admit = () => ({});
  const server = createServer({ cert, key }, async (incoming, response) => {
    const { request } = (await json(incoming)) as { request: AdmissionRequest };
    if (!request.dryRun) {
      requests.push(request);
    }
    const answer = await admit(request);
    if (answer === undefined) {
      response.destroy();
      return;
    }
    const { allowed = true, status, patch, warnings } = answer;
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        apiVersion: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: {
          uid: request.uid,
          allowed,
          ...(status && { status }),
          ...(warnings && { warnings }),
          ...(patch && { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") }),
        },
      }),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: Buffer.from(authority.cert).toString("base64") },
    requests,
    get admit() {
      return admit;
    },
    set admit(value) {
      admit = value;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
