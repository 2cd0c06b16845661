import type { DescFile } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  type ServerReflectionRequest,
  ServerReflection as ServerReflectionV1,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
  ServerReflection as ServerReflectionV1Alpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { FOR_EVERY_CALLER } from "../core/access.ts";
import { excerpt } from "../core/errors.ts";
import { publishedRoute, type Route } from "../core/route.ts";
import type { Schema } from "../core/schema.ts";
import { fileSerializer, symbolsOf } from "./symbols.ts";

/** The reflection services, by their versions: a schema needs them before they can be implemented, since they reflect themselves. */
export const REFLECTION_SERVICES = [ServerReflectionV1, ServerReflectionV1Alpha] as const;

const ACCESS = { serverReflectionInfo: FOR_EVERY_CALLER };

/** `grpc.reflection.v1` and `v1alpha`, which differ in nothing but the name, over a schema. */
export function createReflection(schema: Schema): Route[] {
  const answer = answerer(schema);
  return [
    publishedRoute(
      ServerReflectionV1,
      {
        async *serverReflectionInfo(requests) {
          const sent = new Set<DescFile>();
          for await (const request of requests) {
            const messageResponse = answer(request.messageRequest, sent);
            yield { validHost: request.host, originalRequest: request, messageResponse };
          }
        },
      },
      ACCESS,
    ),
    publishedRoute(
      ServerReflectionV1Alpha,
      {
        async *serverReflectionInfo(requests) {
          const sent = new Set<DescFile>();
          for await (const request of requests) {
            const messageResponse = answer(request.messageRequest, sent);
            yield { validHost: request.host, originalRequest: request, messageResponse };
          }
        },
      },
      ACCESS,
    ),
  ];
}

/** What is asked, in either version. */
type Question = ServerReflectionRequest["messageRequest"] | ServerReflectionRequestAlpha["messageRequest"];

/** What is answered, in either version. */
type Answer =
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

const refusal = (errorCode: Code, errorMessage: string): Answer => ({
  case: "errorResponse",
  value: { errorCode, errorMessage },
});

/** At most so many characters of a name that nobody has here are said again. */
const MAX_NAME = 200;

const quoted = (name: string): string => JSON.stringify(excerpt(name, MAX_NAME));

/** Answers questions. Files that `sent` holds, for they went over the same stream, are not sent again. */
function answerer(schema: Schema): (question: Question, sent: Set<DescFile>) => Answer {
  const symbols = symbolsOf(schema);
  const files = new Map(schema.files.map((file) => [file.proto.name, file]));
  const serialize = fileSerializer();

  const fileAnswer = (file: DescFile | undefined, sent: Set<DescFile>, missing: string): Answer => {
    if (file === undefined) {
      return refusal(Code.NotFound, missing);
    }
    const found = [file, ...importsOf(file).filter((other) => !sent.has(other))];
    for (const other of found) {
      sent.add(other);
    }
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto: found.map(serialize) } };
  };

  return (question, sent) => {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: schema.services.map((service) => ({ name: service.typeName })) },
        };
      case "fileByFilename":
        return fileAnswer(files.get(question.value), sent, `no file ${quoted(question.value)}`);
      case "fileContainingSymbol":
        return fileAnswer(symbols.get(question.value), sent, `no symbol ${quoted(question.value)}`);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const extendee = schema.registry.getMessage(containingType);
        const extension = extendee && schema.registry.getExtensionFor(extendee, extensionNumber);
        const missing = `no extension ${extensionNumber} of ${quoted(containingType)}`;
        return fileAnswer(extension?.file, sent, missing);
      }
      case "allExtensionNumbersOfType":
        return extensionNumbers(schema, question.value);
      default:
        return refusal(Code.InvalidArgument, "the request asks nothing: set one of the fields of message_request");
    }
  };
}

function extensionNumbers(schema: Schema, typeName: string): Answer {
  if (schema.registry.getMessage(typeName) === undefined) {
    return refusal(Code.NotFound, `no message ${quoted(typeName)}`);
  }
  const extensionNumber: number[] = [];
  for (const desc of schema.registry) {
    if (desc.kind === "extension" && desc.extendee.typeName === typeName) {
      extensionNumber.push(desc.number);
    }
  }
  return { case: "allExtensionNumbersResponse", value: { baseTypeName: typeName, extensionNumber } };
}

/** Everything that a file imports, and what that imports. */
function importsOf(file: DescFile): DescFile[] {
  const found = new Set<DescFile>();
  const add = (other: DescFile): void => {
    if (!found.has(other)) {
      found.add(other);
      other.dependencies.forEach(add);
    }
  };
  file.dependencies.forEach(add);
  return [...found];
}
