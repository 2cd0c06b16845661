import { create, type DescField, getOption, hasExtension } from "@bufbuild/protobuf";
import { field as fieldRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { EngineService, RetryEngineResponseSchema } from "../../gen/restart/cse/v1/engine_service_pb.ts";
import { InstanceService, RestartInstanceResponseSchema } from "../../gen/restart/ddm/v1/instance_service_pb.ts";
import { enterprise_project_id, project_id, resource_id } from "../../gen/restart/huaweicloud/v1/rules_pb.ts";
import { uuid_ignores_case } from "../../gen/restart/options/v1/identifier_pb.ts";
import { identifiers } from "../../src/interceptors/identifiers.ts";
import { TARGETS } from "../../src/targets/index.ts";

const DDM_ID = "28E8A3B6C0D14BB2A7B54D7E6A1F9C00IN09";
const UUID = "4A1BC63D-0F4E-4C0B-9A3E-6F5D2C1B0A98";

describe("identifiers()", () => {
  it("gives handlers ids in lower case where letter case says nothing in them, and leaves everything else as it came", async () => {
    const seen: unknown[] = [];
    const transport = createRouterTransport(
      ({ service }) => {
        service(EngineService, {
          retryEngine: ({ projectId, engineId, enterpriseProjectId, reason, requestId }) => {
            seen.push([projectId, engineId, enterpriseProjectId, reason, requestId]);
            return create(RetryEngineResponseSchema);
          },
        });
        service(InstanceService, {
          restartInstance: ({ projectId, instanceId }) => {
            seen.push([projectId, instanceId]);
            return create(RestartInstanceResponseSchema);
          },
        });
      },
      { router: { interceptors: [identifiers] } },
    );
    await createClient(EngineService, transport).retryEngine({
      projectId: "Sandbox_P",
      engineId: UUID,
      enterpriseProjectId: UUID,
      reason: UUID,
      requestId: UUID,
    });
    await createClient(InstanceService, transport).restartInstance({ projectId: `${UUID}0`, instanceId: DDM_ID });
    expect(seen).toEqual([
      ["Sandbox_P", UUID.toLowerCase(), UUID.toLowerCase(), UUID, UUID],
      [`${UUID}0`, DDM_ID.toLowerCase()],
    ]);
  });

  it("is asked for by every field that holds an id of Huawei Cloud", () => {
    const fields = TARGETS.flatMap(({ services }) => services)
      .flatMap(({ methods }) => methods)
      .flatMap(({ input }) => input.fields)
      .filter(isId);
    expect(fields.length).toBeGreaterThan(10);
    expect(fields.filter((one) => !getOption(one, uuid_ignores_case)).map(String)).toEqual([]);
  });
});

function isId(field: DescField): boolean {
  const { type } = getOption(field, fieldRules);
  const rules = type.case === "repeated" ? type.value.items?.type : type;
  return (
    rules?.case === "string" &&
    [project_id, resource_id, enterprise_project_id].some((rule) => hasExtension(rules.value, rule))
  );
}
