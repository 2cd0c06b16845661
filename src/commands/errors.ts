import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { BadRequestSchema, ErrorInfoSchema, HelpSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { plain } from "../core/plain.ts";

/** What is said of a call that failed: what went wrong, and what to do about it. */
export function explainError(thrown: unknown, address: string): string {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info === undefined) {
    return explainTransport(error, address);
  }
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  const links = error.findDetails(HelpSchema).flatMap(({ links: found }) => found);
  return [
    `${codeToString(error.code)} ${info.reason}: ${plain(error.rawMessage)}`,
    // With one violation the message says the same.
    ...(violations.length > 1
      ? violations.map(({ field, description }) => `  ${plain(`${field}: ${description}`)}`)
      : []),
    ...links.map(({ description, url }) => `  ${plain(`${description}: ${url}`)}`),
  ].join("\n");
}

/** Codes of system errors that mean that nobody can be talked to under an address. */
const UNREACHABLE: ReadonlyMap<unknown, string> = new Map([
  ["ECONNREFUSED", "nobody listens there"],
  ["ENOTFOUND", "there is no such host"],
  ["EAI_AGAIN", "the host's name cannot be looked up now"],
  ["ETIMEDOUT", "no answer"],
  ["EHOSTUNREACH", "the host cannot be reached"],
  ["ENETUNREACH", "the network cannot be reached"],
  ["ECONNRESET", "the connection was cut"],
  ["EPIPE", "the connection was cut"],
]);

/** What is said of a call that restartd itself did not answer. */
export function explainTransport(error: ConnectError, address: string): string {
  const cause = systemError(error.cause);
  const why = UNREACHABLE.get(cause?.code) ?? (isTls(cause) ? `TLS: ${plain(cause?.message ?? "")}` : undefined);
  if (why !== undefined) {
    return `cannot reach ${address}: ${why} (${cause?.code}); is restartd running? Name its address by --address`;
  }
  if (error.code === Code.Unimplemented || error.code === Code.Unknown) {
    return `what answers on ${address} is no restartd that knows operations: ${plain(error.rawMessage)}; name its address by --address`;
  }
  // A signal, or the time that an answer is waited for: what the error says of it is nobody's words.
  if (error.code === Code.Canceled || error.code === Code.DeadlineExceeded) return `no answer came from ${address}`;
  return `the call to ${address} failed: ${codeToString(error.code)}: ${plain(error.rawMessage)}`;
}

/** Whether a call failed before anything of it was sent: no connection, or no TLS, came to be. */
export function isUnsent(thrown: unknown): boolean {
  const cause = systemError(thrown);
  if (cause === undefined) return false;
  const { code, syscall, message } = cause;
  const isSetUp = syscall === "connect" || syscall === "getaddrinfo";
  return isSetUp || code === "ECONNREFUSED" || isTls(cause) || /before secure TLS connection/.test(message);
}

interface SystemError extends Error {
  readonly code: unknown;
  readonly syscall?: unknown;
}

/** A handshake that failed: Node's codes of it, OpenSSL's, and of certificates. */
const isTls = (cause: SystemError | undefined): boolean =>
  /^(EPROTO|ERR_(SSL|TLS)_\w+|CERT_\w+|\w+_CERT|\w+_CERT_\w+|UNABLE_TO_\w+|SELF_SIGNED_\w+|HOSTNAME_MISMATCH)$/.test(
    String(cause?.code ?? ""),
  );

/** The system's error behind another one; of several addresses that were tried, the first one's. */
function systemError(cause: unknown): SystemError | undefined {
  if (cause instanceof AggregateError) return systemError(cause.errors[0]);
  return cause instanceof Error && "code" in cause ? (cause as SystemError) : undefined;
}
