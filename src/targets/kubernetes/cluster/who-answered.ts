import type { Answer } from "../../../clouds/http.ts";

/** The fields of a Kubernetes Status that decide. Its message can hold whole objects: it is looked at, never shown. */
export interface Status {
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly kind?: string;
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly reason?: string; readonly field?: string }[];
  };
}

/** What an API server says without a Status (contracts: kubernetes §6.2; apiserver pkg/server, kube-aggregator handler_proxy.go). */
const PLAIN_TEXTS: readonly RegExp[] = [
  /^404 page not found\s*$/,
  /^Too many requests, please try again later\.\s*$/,
  /^The apiserver is shutting down, please try again later\.\s*$/,
  /^service unavailable\s*$/,
  /^error trying to reach service: /,
  /^This request caused apiserver to panic\. /,
  /^Internal Server Error: "/,
  /did not complete within (the allotted|requested) timeout/,
];

/** The Status in an answer that refuses something, or undefined where there is none. */
export function statusIn({ status: code, json }: Answer): Status | undefined {
  const body = json as { kind?: unknown; status?: unknown; code?: unknown } | null | undefined;
  // The timeout filter's has no kind (apiserver pkg/server/filters/timeout.go).
  const isStatus = body?.kind === "Status" || (body?.status === "Failure" && body.code === code);
  return isStatus ? (body as Status) : undefined;
}

/**
 * Whether the API server refused, rather than something in front of it: a proxy, a login page, a web application firewall, another
 * product's API. Before that is known, a status code says nothing of the cluster.
 */
export const isRefusedByApiServer = (answer: Answer): boolean =>
  statusIn(answer) !== undefined || (answer.json === undefined && PLAIN_TEXTS.some((text) => text.test(answer.text)));

/** What an API server says of a path that it does not serve, to a read of what it serves. */
export const isNotServed = (answer: Answer): boolean => answer.status === 404 && isRefusedByApiServer(answer);

/** What an API server says of a version, or a place in a list, that it has forgotten. */
export const isExpired = (answer: Answer): boolean => answer.status === 410 && statusIn(answer) !== undefined;

/** Says that an answer is not the API server's. */
export function inFront({ status, headers }: Answer): string {
  const [type] = /^[\w.+-]+\/[\w.+-]+/.exec(headers["content-type"] ?? "") ?? [];
  const what = type === undefined ? `HTTP ${status}` : `HTTP ${status} with ${type}`;
  return `something in front of the API server answered ${what}; check the cluster's server address and what stands there`;
}
