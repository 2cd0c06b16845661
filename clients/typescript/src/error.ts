import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** What restartd says of a failure beside its code and its sentence. */
export interface RestartError {
  /** Out of the closed list of docs/errors.md; a newer server may have a reason that is not there. */
  readonly reason: string;
  /** Whether anything was changed. */
  readonly outcome: "applied" | "not_applied" | "unknown";
  /** Everything else: vendor, vendor_code, operation, ... */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * What restartd says of a failure. Undefined when the failure is not restartd's: a proxy's, a network's. Whether anything was changed is
 * then unknown for a call that may have arrived: ask again with the same request_id.
 */
export function errorOf(error: unknown): RestartError | undefined {
  const info = ConnectError.from(error)
    .findDetails(ErrorInfoSchema)
    .find(({ domain }) => domain === "restartd");
  if (info === undefined) return undefined;
  const { outcome, ...metadata } = info.metadata;
  return {
    reason: info.reason,
    outcome: outcome === "applied" || outcome === "not_applied" ? outcome : "unknown",
    metadata,
  };
}
