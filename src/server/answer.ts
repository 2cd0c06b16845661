import type { Registry } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { encodeEnvelope, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeStreamJson,
  contentTypeStreamProto,
  createEndStreamSerialization,
  endStreamFlag,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";

/** The ways in which the protocols write a failure down. */
export type Form = "connect" | "connect-stream" | "grpc" | "grpc-web";

/** The form that a caller reads, by the content type of its request (content-type.ts). Who names none that we know, `curl` say, reads JSON. */
export function formOf(contentType: string): Form {
  if (/^application\/grpc-web(?:\+|$)/.test(contentType)) {
    return "grpc-web";
  }
  if (/^application\/grpc(?:\+|$)/.test(contentType)) {
    return "grpc";
  }
  return contentType === contentTypeStreamJson || contentType === contentTypeStreamProto ? "connect-stream" : "connect";
}

/** What a refusal has beside its error. */
export interface AnswerOptions {
  /** HTTP status for a caller of unary Connect, the one form that has statuses. Default: that of the error's code. */
  readonly status?: number;
  /** Headers, in every form. */
  readonly header?: Record<string, string>;
  /** Knows the messages that an Any in a detail may hold. */
  readonly registry: Registry;
}

/** Writes a failure down for a caller whose call reached no handler of connect. */
export function answer(contentType: string, error: ConnectError, options: AnswerOptions): UniversalServerResponse {
  const { registry } = options;
  const header = new Headers(options.header);
  const form = formOf(contentType);
  if (form === "connect") {
    const body = errorToJsonBytes(error, { registry });
    header.set("content-type", "application/json");
    header.set("content-length", String(body.byteLength));
    return { status: options.status ?? codeToHttpStatus(error.code), header, body: once(body) };
  }
  header.set("content-type", contentType);
  const trailer = new Headers();
  const bytes = endOfStream(form, error, trailer, registry);
  return { status: 200, header, ...(bytes === undefined ? { trailer } : { body: once(bytes) }) };
}

/**
 * How a stream ends, in the forms that have one.
 *
 * @param error undefined when it ends well.
 * @param trailer what it has said of itself. What gRPC says of the end is added.
 * @returns its last bytes; undefined where the trailers are sent as such.
 */
export function endOfStream(
  form: Exclude<Form, "connect">,
  error: ConnectError | undefined,
  trailer: Headers,
  registry: Registry,
): Uint8Array | undefined {
  switch (form) {
    case "grpc":
      setTrailerStatus(trailer, error);
      return undefined;
    case "grpc-web":
      return encodeEnvelope(trailerFlag, trailerSerialize(setTrailerStatus(trailer, error)));
    case "connect-stream": {
      const end = createEndStreamSerialization({ registry });
      return encodeEnvelope(endStreamFlag, end.serialize({ metadata: trailer, ...(error && { error }) }));
    }
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
