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
  const header = new Headers(options.header);
  switch (formOf(contentType)) {
    case "grpc":
      header.set("content-type", contentType);
      return { status: 200, header, trailer: setTrailerStatus(new Headers(), error) };
    case "grpc-web": {
      header.set("content-type", contentType);
      const trailer = trailerSerialize(setTrailerStatus(new Headers(), error));
      return { status: 200, header, body: once(encodeEnvelope(trailerFlag, trailer)) };
    }
    case "connect-stream": {
      header.set("content-type", contentType);
      const end = createEndStreamSerialization({ registry: options.registry });
      const data = end.serialize({ metadata: new Headers(), error });
      return { status: 200, header, body: once(encodeEnvelope(endStreamFlag, data)) };
    }
    case "connect": {
      const body = errorToJsonBytes(error, { registry: options.registry });
      header.set("content-type", "application/json");
      header.set("content-length", String(body.byteLength));
      return { status: options.status ?? codeToHttpStatus(error.code), header, body: once(body) };
    }
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
