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

function explainTransport(error: ConnectError, address: string): string {
  const code = systemCode(error.cause);
  const why = UNREACHABLE.get(code);
  if (why !== undefined) {
    return `cannot reach ${address}: ${why} (${code}); is restartd running? Name its address by --address`;
  }
  if (error.code === Code.Unimplemented || error.code === Code.Unknown) {
    return `what answers on ${address} is no restartd that knows operations: ${plain(error.rawMessage)}; name its address by --address`;
  }
  return `the call to ${address} failed: ${codeToString(error.code)}: ${plain(error.rawMessage)}`;
}

/** The code of a system error, of the first one of several addresses that were tried. */
function systemCode(cause: unknown): unknown {
  if (cause instanceof AggregateError) {
    return systemCode(cause.errors[0]);
  }
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}
