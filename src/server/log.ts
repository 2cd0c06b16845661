import { codeToString } from "@connectrpc/connect/protocol-connect";
import { type DestinationStream, pino } from "pino";
import type { Call } from "../core/call.ts";
import { type Failure, toFailure } from "../core/errors.ts";
import type { Message } from "./log-messages.ts";
import { openLogOutput } from "./log-output.ts";
import type { Shutdown } from "./shutdown.ts";

/** Writes a line. Its fields are those of docs/operations/log.schema.json. */
type WriteLine = (fields: object, message: Message) => void;

/** The log: JSON lines whose `msg` is one of a closed list. */
export interface Logger extends Readonly<Record<"debug" | "info" | "warn" | "error", WriteLine>> {
  /** The least important level that is written. */
  level: string;
}

/** At most so many errors of a chain of causes are logged. */
const MAX_CAUSES = 5;

/** At most so many characters of a cause's message are logged: some libraries put whole answers into it. */
const MAX_MESSAGE = 500;

/**
 * A log of JSON lines.
 *
 * @param to where the lines go. Default: stderr, since stdout says where we listen and nothing else.
 * @param level the least important level that is written. Default info.
 */
export const createLog = (to: DestinationStream = openLogOutput(() => new Date()), level = "info"): Logger =>
  pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    to,
  );

/** Has what Node and libraries warn of, which Node would write to stderr as text, be lines of a log. */
export function logWarnings(log: Logger): void {
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => {
    log.warn({ detail: `${name}: ${message}`.slice(0, MAX_MESSAGE) }, "a warning of Node or a library");
  });
}

/** What the log says of a call beside what the call itself knows. */
export interface CallLine {
  /** Full name of the rpc, `package.Service/Method`; of a call that is none, the path that it asked for. */
  readonly method: string;
  /** connect, connect-stream, grpc or grpc-web. */
  readonly protocol: string;
  /** Version of HTTP. */
  readonly http: string;
  /** Address and port of the caller. */
  readonly peer: string;
  /** Milliseconds from the first byte of the request to the last of the answer. */
  readonly durationMs: number;
}

/** Writes the line of a call that has ended. Never headers, never bodies. */
export function logCall(log: Logger, call: Call, line: CallLine): void {
  const entry = {
    request_id: call.id,
    ...spanOf(call),
    method: line.method,
    protocol: line.protocol,
    http: line.http,
    peer: line.peer,
    principal: call.principal?.id,
    authenticator: call.principal?.authenticator ?? call.failure?.metadata.authenticator,
    permission: call.authorization?.permission || undefined,
    decision: call.authorization?.decision,
    rule: call.authorization?.rule,
    why: call.failure?.metadata.why,
    ...endOf(call),
    duration_ms: Math.round(line.durationMs * 10) / 10,
  };
  log[isDefect(call.failure) ? "error" : "info"](entry, "call");
}

/**
 * Takes work that goes on after its call was answered: a handler that nobody waited for any longer, a request that was on its way
 * when its caller left. Shutting down waits for it, and its end gets a line of its own.
 */
export const createBackground =
  (shutdown: Shutdown, log: Logger) =>
  (call: Call, work: Promise<unknown>): void => {
    const logEnd = (failure: Failure | undefined): void => {
      const end = { ...call, failure, outcome: failure?.outcome ?? call.outcome };
      log[isDefect(failure) ? "error" : "info"]({ request_id: call.id, ...spanOf(call), ...endOf(end) }, "late end");
    };
    shutdown.waitFor(
      work.then(
        () => logEnd(undefined),
        (error: unknown) => logEnd(toFailure(error, call)),
      ),
    );
  };

const isDefect = (failure: Failure | undefined): boolean =>
  failure?.reason === "INTERNAL" || failure?.reason === "OUTCOME_UNKNOWN";

/** How a call ended: `ok` or its code in snake_case, and its reason, empty without one. */
export const resultOf = ({ failure }: Pick<Call, "failure">): { code: string; reason: string } => ({
  code: failure === undefined ? "ok" : codeToString(failure.code),
  reason: failure?.reason ?? "",
});

/** The ids of a call's span: `00-{trace}-{span}-{flags}`. */
function spanOf({ traceparent }: Call): { readonly trace_id?: string; readonly span_id?: string } {
  const [, trace_id, span_id] = traceparent?.split("-") ?? [];
  return { ...(trace_id && { trace_id }), ...(span_id && { span_id }) };
}

const endOf = ({ target, operation, outcome, serverWarning, failure }: Call): Record<string, unknown> => ({
  target,
  operation,
  outcome,
  server_warning: serverWarning?.slice(0, MAX_MESSAGE),
  code: resultOf({ failure }).code,
  reason: failure?.reason,
  cause: failure?.cause === undefined ? undefined : describeCause(failure.cause),
});

/** What the log says of an error: its class, message, code and where it was thrown, and the same of its causes. */
export function describeCause(error: unknown, depth = 1): Record<string, unknown> {
  if (!(error instanceof Error)) {
    return { message: String(error).slice(0, MAX_MESSAGE) };
  }
  return {
    type: error.name,
    message: error.message.slice(0, MAX_MESSAGE),
    code: "code" in error && /string|number/.test(typeof error.code) ? error.code : undefined,
    // The frames alone: what stands above them is the message again, in full.
    stack: error.stack?.match(/^ +at .+$/gm)?.map((frame) => frame.trim()),
    cause: error.cause === undefined || depth === MAX_CAUSES ? undefined : describeCause(error.cause, depth + 1),
  };
}
