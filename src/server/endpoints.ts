import type { Registry } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import { createConnectRouter, type Interceptor } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import type { MethodAccess } from "../core/access.ts";
import type { Route } from "../core/route.ts";
import { completeErrors } from "./complete.ts";
import { type Enclose, encloserOf, takeMessages } from "./server-stream.ts";

/** One rpc as HTTP sees it. */
export interface Endpoint {
  /** connect's handler, which speaks every protocol. */
  readonly handler: UniversalHandler;
  /** Full name, `package.Service/Method`. */
  readonly name: string;
  /** Methods of HTTP that it answers. */
  readonly methods: readonly string[];
  /** Content types that it reads. */
  readonly contentTypes: readonly string[];
  /** Whether it is answered while the server drains. */
  readonly whileDraining: boolean;
  /** Whether it is answered whatever name the caller uses for this server. */
  readonly anyHost: boolean;
  /** Who may call it. */
  readonly access: MethodAccess;
  /** Writes the messages of its answers, where it streams them. */
  readonly enclose: Enclose;
}

/** What all endpoints share. */
export interface EndpointOptions {
  readonly interceptors: Interceptor[];
  /** Knows every message that an Any may hold. */
  readonly registry: Registry;
  /** Most bytes of one request message, unpacked. */
  readonly readMaxBytes: number;
  /** Knows the rules of every request. */
  readonly validator: Validator;
}

const GRPC_TYPES = ["grpc", "grpc-web"].flatMap((name) => [`${name}+proto`, `${name}+json`, name]);

const typesOf = (connect: string): string[] =>
  [`${connect}json`, `${connect}proto`, ...GRPC_TYPES].map((name) => `application/${name}`);

function accessIn({ service, access }: Route, method: string): MethodAccess {
  const found = access.get(method);
  if (found === undefined) throw new Error(`nothing says who may call ${service.typeName}/${method}`);
  return found;
}

/** The endpoints of some services, by their path. */
export function endpointsOf(routes: readonly Route[], options: EndpointOptions): ReadonlyMap<string, Endpoint> {
  const { interceptors, registry, readMaxBytes, validator } = options;
  const endpoints = new Map<string, Endpoint>();
  for (const route of routes) {
    const router = createConnectRouter({
      interceptors: [takeMessages, ...interceptors],
      readMaxBytes,
      acceptCompression: [compressionGzip], // brotli would run at its slowest
      requestGate: completeErrors(validator),
    });
    // What a read does not understand of its request cannot do harm; a mistyped field of a mutation can.
    route.register(router, {
      reads: { jsonOptions: { registry } },
      mutations: { jsonOptions: { registry, ignoreUnknownFields: false } },
    });
    for (const handler of router.handlers) {
      const unary = handler.method.methodKind === "unary";
      const access = accessIn(route, handler.method.name);
      endpoints.set(handler.requestPath, {
        handler,
        name: handler.requestPath.slice(1),
        // connect would let GET through to streams, and then complain about the content type that a GET does not have.
        methods: unary ? handler.allowedMethods : ["POST"],
        contentTypes: typesOf(unary ? "" : "connect+"),
        whileDraining: route.whileDraining,
        anyHost: route.anyHost && access.kind === "public",
        access,
        enclose: encloserOf(handler, registry),
      });
    }
  }
  return endpoints;
}
