import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerReflection, type ServerReflectionRequestSchema } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type Fixture, serve } from "../server/fixture.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await serve();
});
afterAll(() => fixture[Symbol.asyncDispose]());

type Question = MessageInitShape<typeof ServerReflectionRequestSchema>;

/** The answers to some questions over one stream, the same in both versions. */
async function ask(...questions: Question[]) {
  const transport = createGrpcTransport({ baseUrl: fixture.server.url });
  async function* requests() {
    yield* questions;
  }
  const answers = [];
  for await (const answer of createClient(ServerReflection, transport).serverReflectionInfo(requests())) {
    answers.push(answer);
  }
  return answers;
}

/** Names of the files in an answer. */
async function filesOf(messageRequest: NonNullable<Question["messageRequest"]>): Promise<string[]> {
  const [answer] = await ask({ messageRequest });
  const response = answer?.messageResponse;
  expect(response?.case).toBe("fileDescriptorResponse");
  return response?.case === "fileDescriptorResponse"
    ? response.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name)
    : [];
}

describe("ServerReflection", () => {
  it("lists the services, itself too", async () => {
    const [answer] = await ask({ host: "h", messageRequest: { case: "listServices", value: "" } });
    expect(answer).toMatchObject({
      validHost: "h",
      originalRequest: { host: "h", messageRequest: { case: "listServices" } },
      messageResponse: {
        value: {
          service: [
            { name: "restart.kubernetes.v1.WorkloadService" },
            { name: "grpc.health.v1.Health" },
            { name: "grpc.reflection.v1.ServerReflection" },
            { name: "grpc.reflection.v1alpha.ServerReflection" },
          ],
        },
      },
    });
  });

  it.each([
    ["restart.kubernetes.v1.WorkloadService", "restart/kubernetes/v1/workload_service.proto"],
    ["restart.kubernetes.v1.WorkloadService.Restart", "restart/kubernetes/v1/workload_service.proto"],
    ["restart.kubernetes.v1.RestartRequest", "restart/kubernetes/v1/workload_service.proto"],
    ["restart.kubernetes.v1.RestartRequest.name", "restart/kubernetes/v1/workload_service.proto"],
    ["restart.kubernetes.v1.Rollout.State", "restart/kubernetes/v1/workload.proto"],
    ["restart.kubernetes.v1.Rollout.STATE_COMPLETE", "restart/kubernetes/v1/workload.proto"],
    ["restart.kubernetes.v1.object_name", "restart/kubernetes/v1/rules.proto"],
    ["grpc.reflection.v1.ServerReflectionRequest.message_request", "grpc/reflection/v1/reflection.proto"],
    ["grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"],
    ["google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["google.rpc.Status", "google/rpc/status.proto"],
    ["buf.validate.Violations", "buf/validate/validate.proto"],
    ["buf.validate.field", "buf/validate/validate.proto"],
    ["google.protobuf.Any", "google/protobuf/any.proto"],
    ["google.protobuf.Struct", "google/protobuf/struct.proto"],
    ["google.protobuf.Timestamp", "google/protobuf/timestamp.proto"],
    ["google.protobuf.Empty", "google/protobuf/empty.proto"],
    ["google.protobuf.FieldOptions", "google/protobuf/descriptor.proto"],
  ])("finds %s", async (symbol, file) => {
    expect((await filesOf({ case: "fileContainingSymbol", value: symbol }))[0]).toBe(file);
  });

  it("finds files by name, and extensions by number", async () => {
    expect(await filesOf({ case: "fileByFilename", value: "google/rpc/code.proto" })).toEqual([
      "google/rpc/code.proto",
    ]);
    const option = { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 };
    expect((await filesOf({ case: "fileContainingExtension", value: option }))[0]).toBe("buf/validate/validate.proto");
    const rule = { containingType: "buf.validate.StringRules", extensionNumber: 51001 };
    expect((await filesOf({ case: "fileContainingExtension", value: rule }))[0]).toBe(
      "restart/kubernetes/v1/rules.proto",
    );
  });

  it("knows the extensions of a message", async () => {
    const [rules, none] = await ask(
      { messageRequest: { case: "allExtensionNumbersOfType", value: "buf.validate.StringRules" } },
      { messageRequest: { case: "allExtensionNumbersOfType", value: "google.rpc.Status" } },
    );
    expect(rules?.messageResponse).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { baseTypeName: "buf.validate.StringRules", extensionNumber: [51001, 51002, 51003, 51004, 51005] },
    });
    expect(none?.messageResponse).toMatchObject({ value: { extensionNumber: [] } });
  });

  it("sends a file with all that it imports, enough to build it, and nothing twice over one stream", async () => {
    const question = {
      messageRequest: { case: "fileContainingSymbol", value: "restart.kubernetes.v1.Rollout" },
    } as const;
    const service = {
      messageRequest: { case: "fileContainingSymbol", value: "restart.kubernetes.v1.WorkloadService" },
    } as const;
    const [first, second] = await ask(service, question);
    const files = [first, second].map((answer) =>
      answer?.messageResponse.case === "fileDescriptorResponse"
        ? answer.messageResponse.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
        : [],
    );
    const names = files[0]?.map(({ name }) => name) ?? [];
    expect(names).toHaveLength(new Set(names).size);
    expect(names.length).toBeGreaterThan(10);
    expect(names).toEqual(expect.arrayContaining(files[0]?.flatMap(({ dependency }) => dependency) ?? []));
    expect(files[1]?.map(({ name }) => name)).toEqual(["restart/kubernetes/v1/workload.proto"]);
  });

  it.each([
    [{ case: "fileByFilename", value: "no.proto" }, 5, 'no file "no.proto"'],
    [{ case: "fileContainingSymbol", value: "no.Symbol" }, 5, 'no symbol "no.Symbol"'],
    [
      { case: "fileContainingExtension", value: { containingType: "google.rpc.Status", extensionNumber: 7 } },
      5,
      'no extension 7 of "google.rpc.Status"',
    ],
    [{ case: "allExtensionNumbersOfType", value: "no.Message" }, 5, 'no message "no.Message"'],
    [{ case: undefined }, 3, "the request asks nothing: set one of the fields of message_request"],
  ] as const)("answers %j with an error, and goes on", async (messageRequest, errorCode, errorMessage) => {
    const list = { messageRequest: { case: "listServices", value: "" } } as const;
    const [refused, listed] = await ask({ messageRequest }, list);
    expect(refused?.messageResponse).toMatchObject({ case: "errorResponse", value: { errorCode, errorMessage } });
    expect(listed?.messageResponse.case).toBe("listServicesResponse");
  });

  it("is the same in v1alpha", async () => {
    const client = createClient(ServerReflectionAlpha, createGrpcTransport({ baseUrl: fixture.server.url }));
    async function* requests() {
      yield { messageRequest: { case: "fileContainingSymbol", value: "google.rpc.ErrorInfo" } } as const;
    }
    for await (const { messageResponse, originalRequest } of client.serverReflectionInfo(requests())) {
      expect(messageResponse.case).toBe("fileDescriptorResponse");
      expect(originalRequest?.$typeName).toBe("grpc.reflection.v1alpha.ServerReflectionRequest");
    }
  });
});
