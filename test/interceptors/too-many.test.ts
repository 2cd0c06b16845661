import { create } from "@bufbuild/protobuf";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { InstanceService, RestartInstancesRequestSchema } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { tooManyItems } from "../../src/interceptors/too-many.ts";
import { newValidator } from "../../src/interceptors/validate.ts";

const PROJECT = "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";
const validator = newValidator(schemaOf([InstanceService]).registry);

const client = createClient(
  InstanceService,
  createRouterTransport(({ service }) => service(InstanceService, { restartInstances: () => ({}) }), {
    router: {
      interceptors: interceptors({
        newId: () => "call-1",
        shutdown: new AbortController().signal,
        deadline: { defaultMs: 60_000, maxMs: 600_000, abandoned: () => {} },
        validator,
      }),
    },
  }),
);

async function violations(instanceIds: string[]) {
  const error = await client.restartInstances({ projectId: PROJECT, instanceIds }).then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  return {
    message: error?.rawMessage,
    listed: error?.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations) ?? [],
    own: error?.findDetails(ViolationsSchema).flatMap((all) => all.violations) ?? [],
  };
}

describe("a list", () => {
  it("that is too long is refused before its items are looked at, in the validator's own words", async () => {
    const message = create(RestartInstancesRequestSchema, {
      projectId: PROJECT,
      instanceIds: Array.from({ length: 51 }, (_, at) => `c0ffee00-0000-4000-8000-${String(at).padStart(12, "0")}`),
    });
    expect(validator.validate(RestartInstancesRequestSchema, message)).toMatchObject({
      violations: tooManyItems(RestartInstancesRequestSchema, message),
    });
    const { message: sentence, listed, own } = await violations(Array(32_000).fill(""));
    expect(sentence).toBe("instance_ids: must contain no more than 50 item(s)");
    expect(listed).toMatchObject([{ field: "instance_ids", reason: "REPEATED_MAX_ITEMS" }]);
    expect(own).toHaveLength(1);
  });

  it("of wrong items has at most twenty of its violations listed, and all counted", async () => {
    const { message, listed, own } = await violations(Array.from({ length: 50 }, (_, at) => `/${at}`));
    expect(message).toMatch(/, and 49 more$/);
    expect(listed).toHaveLength(20);
    expect(own).toHaveLength(20);
  });
});
