/** The service that the conformance suite calls: it answers as each request says, and tells what it saw of the request. */
import { setTimeout } from "node:timers/promises";
import { create, type DescService, type FileRegistry, fromBinary, type Message } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { ErrorInfoSchema, RequestInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { MethodAccess } from "../../../src/core/access.ts";
import { deadlineKey } from "../../../src/core/deadline.ts";
import { Failure } from "../../../src/core/errors.ts";
import { publishedRoute, type Route } from "../../../src/core/route.ts";
import { newValidator } from "../../../src/interceptors/validate.ts";
import { completeErrors } from "../../../src/server/complete.ts";
import { type ServerStream, serverStreamKey } from "../../../src/server/server-stream.ts";
import {
  type Definition,
  type ErrorDefinition,
  messageIn,
  type StreamDefinition,
  type StreamRequest,
  serviceIn,
  type UnaryDefinition,
  type UnaryRequest,
} from "./schema.ts";

/** What every call of the suite is judged as. */
export const ACCESS: MethodAccess = {
  kind: "target",
  permission: "conformance.calls.make",
  targets: ["conformance/calls"],
};

/** The suite's service, with its answers' errors as the suite wants them: see {@link withoutOurDetails}. */
export function createConformanceRoute(registry: FileRegistry): Route {
  const service = serviceIn(registry);
  const access = Object.fromEntries(service.methods.map(({ localName }) => [localName, ACCESS]));
  const route = publishedRoute(service, implement(registry) as ServiceImpl<DescService>, access);
  const requestGate = withoutOurDetails(completeErrors(newValidator(registry)));
  return {
    ...route,
    register: (router, { reads, mutations }) =>
      route.register(router, { reads: { ...reads, requestGate }, mutations: { ...mutations, requestGate } }),
  };
}

/**
 * The suite takes an error for wrong that has details which it did not ask for. Every failure of ours has some, which is tested
 * elsewhere for every protocol: they are taken off at the last moment, when connect is about to write the error or a stream has failed
 * that connect does not write, and have to be there.
 */
const withoutOurDetails =
  (gate: NonNullable<UniversalHandlerOptions["requestGate"]>): typeof gate =>
  (context) => {
    const abortable = context as HandlerContext & { abort: (reason?: unknown) => void };
    const { abort } = abortable;
    abortable.abort = (reason) => {
      takeOffOurDetails(reason);
      abort(reason);
    };
    const stream = context.values.get(serverStreamKey);
    if (stream !== undefined) takeOffItsDetails(stream);
    return gate(context);
  };

function takeOffOurDetails(reason: unknown): void {
  if (!(reason instanceof ConnectError)) return;
  const [info, ...details] = reason.details;
  if (info === undefined || typeOf(info) !== ErrorInfoSchema.typeName) {
    throw new Error(`a failure does not say its reason: ${reason.message}`);
  }
  reason.details = details.filter((detail) => typeOf(detail) !== RequestInfoSchema.typeName);
}

const OVER = Promise.resolve({ done: true as const, value: undefined });

function takeOffItsDetails(stream: ServerStream): void {
  let messages: ServerStream["messages"];
  Object.defineProperty(stream, "messages", {
    get: () => messages,
    set(taken: NonNullable<typeof messages>) {
      const { iterator } = taken;
      const next = () =>
        iterator.next().catch((reason: unknown) => {
          takeOffOurDetails(reason);
          throw reason;
        });
      messages = { ...taken, iterator: { next, return: () => iterator.return?.() ?? OVER } };
    },
  });
}

const typeOf = (detail: ConnectError["details"][number]): string =>
  "desc" in detail ? detail.desc.typeName : detail.type;

/** An implementation of every method: no types can say so of a schema that is read when the test runs. */
function implement(registry: FileRegistry): object {
  const make = (name: string, fields: Record<string, unknown>): Message => create(messageIn(registry, name), fields);
  const payload = (fields: Record<string, unknown>): Message => make("ConformancePayload", fields);

  /** What was seen of a call so far. */
  const infoOf = (context: HandlerContext, requests: readonly Any[]): Message => {
    const left = (context.values.get(deadlineKey) ?? Number.POSITIVE_INFINITY) - performance.now();
    return make("ConformancePayload.RequestInfo", {
      requests,
      requestHeaders: headers(context.requestHeader),
      ...(Number.isFinite(left) && { timeoutMs: BigInt(Math.floor(left)) }),
      ...(context.requestMethod === "GET" && {
        connectGetInfo: { queryParams: headers(new URL(context.url).searchParams) },
      }),
    });
  };

  /** The error that was asked for. Its code is any, be it one that no reason of ours has. */
  const failureOf = ({ code, message = "", details }: ErrorDefinition, more: readonly Message[]): Failure => {
    const unpacked = details.map(({ typeUrl, value }) => {
      const desc = messageIn(registry, typeUrl.replace(/^.*\.v1\./, ""));
      return { desc, value: fromBinary(desc, value) };
    });
    const added = more.map((value) => ({ desc: messageIn(registry, value.$typeName.replace(/^.*\.v1\./, "")), value }));
    const failure = new Failure("VENDOR_REPORTED_FAILED", message, { details: [...unpacked, ...added] });
    return Object.assign(failure, { code });
  };

  const answerOnce = async (
    definition: UnaryDefinition | undefined,
    requests: readonly Any[],
    context: HandlerContext,
  ): Promise<Message> => {
    const requestInfo = infoOf(context, requests);
    if (definition !== undefined) {
      begin(definition, context);
      await setTimeout(definition.responseDelayMs, undefined, { signal: context.signal });
    }
    const response = definition?.response;
    if (response?.case === "error") throw failureOf(response.value, [requestInfo]);
    return payload({ requestInfo, ...(response?.case === "responseData" && { data: response.value }) });
  };

  async function* answerAll(
    { responseData, responseDelayMs, error }: StreamDefinition,
    requestInfo: Message,
    context: HandlerContext,
    begun = 0,
  ): AsyncGenerator<Message> {
    for (const [index, data] of responseData.entries()) {
      if (index < begun) continue;
      await setTimeout(responseDelayMs, undefined, { signal: context.signal });
      yield payload({ data, ...(index === 0 && { requestInfo }) });
    }
    if (error !== undefined) throw failureOf(error, responseData.length === 0 ? [requestInfo] : []);
  }

  const unary =
    (name: string, answer: string) =>
    async (request: Message, context: HandlerContext): Promise<Message> => {
      const { responseDefinition } = request as UnaryRequest;
      const packed = anyPack(messageIn(registry, name), request);
      return make(answer, { payload: await answerOnce(responseDefinition, [packed], context) });
    };

  return {
    unary: unary("UnaryRequest", "UnaryResponse"),
    idempotentUnary: unary("IdempotentUnaryRequest", "IdempotentUnaryResponse"),
    async clientStream(requests: AsyncIterable<Message>, context: HandlerContext) {
      const seen: Any[] = [];
      let definition: UnaryDefinition | undefined;
      for await (const request of requests) {
        if (seen.length === 0) definition = (request as UnaryRequest).responseDefinition;
        seen.push(anyPack(messageIn(registry, "ClientStreamRequest"), request));
      }
      return make("ClientStreamResponse", { payload: await answerOnce(definition, seen, context) });
    },
    async *serverStream(request: Message, context: HandlerContext) {
      const { responseDefinition: definition } = request as StreamRequest;
      if (definition === undefined) return;
      begin(definition, context);
      const info = infoOf(context, [anyPack(messageIn(registry, "ServerStreamRequest"), request)]);
      for await (const answer of answerAll(definition, info, context)) {
        yield make("ServerStreamResponse", { payload: answer });
      }
    },
    async *bidiStream(requests: AsyncIterable<Message>, context: HandlerContext) {
      let seen: Any[] = [];
      let first: StreamRequest | undefined;
      let sent = 0;
      for await (const request of requests) {
        seen.push(anyPack(messageIn(registry, "BidiStreamRequest"), request));
        if (first === undefined) {
          first = request as StreamRequest;
          if (first.responseDefinition !== undefined) begin(first.responseDefinition, context);
        }
        if (first.fullDuplex !== true) continue;
        const data = first.responseDefinition?.responseData[sent];
        if (data === undefined) break;
        const requestInfo =
          sent === 0 ? infoOf(context, seen) : make("ConformancePayload.RequestInfo", { requests: seen });
        await setTimeout(first.responseDefinition?.responseDelayMs, undefined, { signal: context.signal });
        yield make("BidiStreamResponse", { payload: payload({ data, requestInfo }) });
        sent += 1;
        seen = [];
      }
      if (first?.responseDefinition === undefined) return;
      for await (const answer of answerAll(first.responseDefinition, infoOf(context, seen), context, sent)) {
        yield make("BidiStreamResponse", { payload: answer });
      }
    },
  };
}

/** Sets what stands before and after the answer, whichever way the call ends. */
function begin({ responseHeaders, responseTrailers }: Definition, context: HandlerContext): void {
  for (const { name, value } of responseHeaders) for (const one of value) context.responseHeader.append(name, one);
  for (const { name, value } of responseTrailers) for (const one of value) context.responseTrailer.append(name, one);
}

const headers = (from: Headers | URLSearchParams): object[] =>
  [...from.entries()].map(([name, value]) => ({ name, value: [value] }));
