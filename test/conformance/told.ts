import { type DescMethodUnary, fromBinary, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { schemaOf } from "../../src/core/schema.ts";

/** What a caller was told of a call, over the wire. */
export interface Told {
  /** `ok`, or a code of Connect; `nothing` when the caller did not wait for it. */
  readonly code: string;
  /** The rpc's answer. */
  readonly answer: JsonObject | undefined;
  readonly reason: string | undefined;
  readonly outcome: string | undefined;
  /** Of ErrorInfo. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Full names of the messages beside ErrorInfo, with what they say. */
  readonly details: Readonly<Record<string, JsonValue>>;
  /** The header `operation-name`. */
  readonly operation: string | undefined;
}

/** How a call is made. */
export interface Asking {
  /** Milliseconds, told to the server. Default: none is. */
  readonly deadlineMs?: number;
  /** Fires when the caller goes away. */
  readonly signal?: AbortSignal;
}

/** What an error may hold. */
const { registry } = schemaOf([]);

/**
 * Calls a method as any HTTP client would, in JSON.
 *
 * @param record is given everything that came: headers and body.
 */
export async function ask(
  url: string,
  { parent, name }: DescMethodUnary,
  request: JsonObject,
  { deadlineMs, signal }: Asking,
  record: (text: string) => void,
): Promise<Told> {
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(`${url}/${parent.typeName}/${name}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(deadlineMs !== undefined && { "connect-timeout-ms": String(deadlineMs) }),
      },
      body: JSON.stringify(request),
      ...(signal && { signal }),
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) return { ...NOTHING };
    throw error;
  }
  record([...answer.headers].join("\n"));
  const json: unknown = JSON.parse(text);
  const operation = answer.headers.get("operation-name") ?? undefined;
  if (answer.ok) {
    record(text);
    return { ...NOTHING, code: "ok", answer: json as JsonObject, operation };
  }
  const told = failureOf(json as WireError);
  record(JSON.stringify([json, told]));
  return { ...told, operation };
}

const NOTHING: Told = {
  code: "nothing",
  answer: undefined,
  reason: undefined,
  outcome: undefined,
  metadata: {},
  details: {},
  operation: undefined,
};

interface WireError {
  readonly code: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

function failureOf({ code, details = [] }: WireError): Told {
  const messages = details.map(({ type, value }) => {
    const desc = registry.getMessage(type);
    if (desc === undefined) throw new Error(`a detail of an unknown type: ${type}`);
    return [type, toJson(desc, fromBinary(desc, base64Decode(value)), { registry })] as const;
  });
  const info = details.find(({ type }) => type === ErrorInfoSchema.typeName);
  const { reason, metadata } = info
    ? fromBinary(ErrorInfoSchema, base64Decode(info.value))
    : { reason: undefined, metadata: {} as Record<string, string> };
  return {
    ...NOTHING,
    code,
    reason,
    metadata,
    outcome: metadata.outcome,
    details: Object.fromEntries(messages.filter(([type]) => type !== ErrorInfoSchema.typeName)),
  };
}
