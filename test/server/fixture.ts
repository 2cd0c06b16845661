import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect, constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import {
  codeToString,
  endStreamFlag,
  endStreamFromJson,
  errorFromJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { route } from "../../src/core/route.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../src/server/server.ts";
import { heldLog } from "../support/log.ts";

export const ORIGIN = "http://localhost:5173";

/** A line of the log. */
export type Line = Record<string, unknown>;

/** A server with a made-up WorkloadService, and its log. */
export interface Fixture extends AsyncDisposable {
  readonly server: RunningServer;
  readonly lines: Line[];
  /** The first line, from now on or before, that `matches`. */
  line(matches: (line: Line) => boolean): Promise<Line>;
}

export async function serve(
  implementation: Partial<ServiceImpl<typeof WorkloadService>> = {},
  options: Partial<ServerOptions> = {},
): Promise<Fixture> {
  const lines: Line[] = [];
  const changed = new EventTarget();
  const log = heldLog("debug", (line) => {
    lines.push(line);
    changed.dispatchEvent(new Event("line"));
  });
  const server = await startServer({
    host: "127.0.0.1",
    port: 0,
    allowedOrigins: [ORIGIN],
    deadline: { defaultMs: 60_000, maxMs: 600_000 },
    log,
    routes: [
      route(WorkloadService, {
        restart: () => create(EmptySchema),
        getRollout: ({ name }) => ({ name }),
        async *watchRollout({ name }) {
          yield { name };
        },
        listClusters: () => ({}),
        listWorkloads: () => ({}),
        ...implementation,
      }),
    ],
    ...options,
  });
  return {
    server,
    lines,
    async line(matches) {
      for (;;) {
        const found = lines.find(matches);
        if (found !== undefined) {
          return found;
        }
        await once(changed, "line");
      }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A request as it goes over the wire. */
export interface RawRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  /** Keeps the request's body open. */
  readonly open?: boolean;
}

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly trailers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

async function collect(source: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) {
    chunks.push(chunk);
  }
  return chunks;
}

/** Sends one request over HTTP/1.1 or HTTP/2, on a connection of its own. */
export const send = (http: 1 | 2, url: string, request: RawRequest): Promise<RawAnswer> =>
  http === 1 ? sendHttp1(url, request) : sendHttp2(url, request);

async function sendHttp1(url: string, { method = "POST", path, headers, body, open }: RawRequest): Promise<RawAnswer> {
  const outgoing = httpRequest(`${url}${path}`, { method, headers, agent: false });
  outgoing.on("error", () => {}); // the answer, or its lack, tells
  outgoing.flushHeaders();
  if (body !== undefined) {
    outgoing.write(body);
  }
  if (!open) {
    outgoing.end();
  }
  const [incoming] = await once(outgoing, "response");
  const chunks = await collect(incoming);
  outgoing.destroy();
  return {
    status: incoming.statusCode,
    headers: incoming.headers,
    trailers: incoming.trailers,
    body: Buffer.concat(chunks),
  };
}

async function sendHttp2(url: string, { method = "POST", path, headers, body, open }: RawRequest): Promise<RawAnswer> {
  const session = connect(url);
  const { host, ...rest } = headers ?? {};
  try {
    const stream = session.request({
      ":method": method,
      ":path": path,
      ...(host !== undefined && { ":authority": host }),
      ...rest,
    });
    let trailers = {};
    stream.once("trailers", (received) => {
      trailers = received;
    });
    if (body !== undefined) {
      stream.write(body);
    }
    if (!open) {
      stream.end();
    }
    const [received] = await once(stream, "response");
    const chunks = await collect(stream);
    stream.close(constants.NGHTTP2_NO_ERROR);
    return { status: Number(received[":status"]), headers: received, trailers, body: Buffer.concat(chunks) };
  } finally {
    session.destroy();
  }
}

/** One protocol: how its requests look, and where its answers have the error. */
export interface ProtocolForm {
  readonly name: "connect" | "connect-stream" | "grpc" | "grpc-web";
  readonly json: string;
  readonly proto: string;
  readonly path: string;
  readonly timeoutHeader: string;
  readonly encodingHeader: string;
  /** HTTP status of an answer whose error has this code. */
  status(http: number): number;
  /** One message on the wire; `packed` when it says that it is compressed. */
  frame(message: Uint8Array | string, packed?: boolean): Uint8Array;
  error(answer: RawAnswer): ConnectError | undefined;
}

const envelope = (message: Uint8Array | string, packed = false): Uint8Array =>
  encodeEnvelope(packed ? 1 : 0, Buffer.from(message));

const headersOf = (fields: RawAnswer["headers"]): Headers => {
  const entries = Object.entries(fields).filter(([name]) => !name.startsWith(":"));
  return new Headers(entries.map(([name, value]): [string, string] => [name, String(value)]));
};

/** The last envelope of a body when it has this flag, unpacked where need be. */
function lastEnvelope(body: Buffer, flag: number): Buffer | undefined {
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (((body[at] ?? 0) & flag) === flag) {
      return body.subarray(at + 5, end);
    }
    at = end;
  }
  return undefined;
}

const SERVICE = "/restart.kubernetes.v1.WorkloadService";

export const FORMS: readonly ProtocolForm[] = [
  {
    name: "connect",
    json: "application/json",
    proto: "application/proto",
    path: `${SERVICE}/Restart`,
    timeoutHeader: "connect-timeout-ms",
    encodingHeader: "content-encoding",
    status: (http) => http,
    frame: (message) => Buffer.from(message),
    error: ({ status, body, headers }) =>
      status === 200
        ? undefined
        : errorFromJsonBytes(body, headersOf(headers), new ConnectError(`unreadable: ${body}`, Code.DataLoss)),
  },
  {
    name: "connect-stream",
    json: "application/connect+json",
    proto: "application/connect+proto",
    path: `${SERVICE}/WatchRollout`,
    timeoutHeader: "connect-timeout-ms",
    encodingHeader: "connect-content-encoding",
    status: () => 200,
    frame: envelope,
    error: ({ body }) => {
      const end = lastEnvelope(body, endStreamFlag);
      return end === undefined ? new ConnectError("no end", Code.DataLoss) : endStreamFromJson(end).error;
    },
  },
  {
    name: "grpc",
    json: "application/grpc+json",
    proto: "application/grpc",
    path: `${SERVICE}/Restart`,
    timeoutHeader: "grpc-timeout",
    encodingHeader: "grpc-encoding",
    status: () => 200,
    frame: envelope,
    error: ({ trailers }) => findTrailerError(headersOf(trailers)),
  },
  {
    name: "grpc-web",
    json: "application/grpc-web+json",
    proto: "application/grpc-web+proto",
    path: `${SERVICE}/Restart`,
    timeoutHeader: "grpc-timeout",
    encodingHeader: "grpc-encoding",
    status: () => 200,
    frame: envelope,
    error: ({ body }) => {
      const end = lastEnvelope(body, trailerFlag);
      return end === undefined ? new ConnectError("no trailers", Code.DataLoss) : findTrailerError(trailerParse(end));
    },
  },
];

/** A request that passes every check. */
export const VALID = {
  cluster: "c",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "n",
  name: "web",
};

export const validJson = (more: Record<string, unknown> = {}): string => JSON.stringify({ ...VALID, ...more });

export const gzip = (text: string | Uint8Array): Buffer => gzipSync(text);

/** What an error says, as the tests compare it. */
export function summary(error: ConnectError | undefined) {
  if (error === undefined) {
    return undefined;
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: codeToString(error.code),
    message: error.rawMessage,
    reason: info?.reason,
    domain: info?.domain,
    outcome: info?.metadata.outcome,
  };
}
