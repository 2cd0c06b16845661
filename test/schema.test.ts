import { readdirSync, readFileSync } from "node:fs";
import { create, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { field as fieldRules, message as messageRules } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { describe, expect, it } from "vitest";
import { ServerService } from "../gen/restart/server/v1/server_service_pb.ts";
import { schemaOf } from "../src/core/schema.ts";
import { newValidator } from "../src/interceptors/validate.ts";
import { TARGETS } from "../src/targets/index.ts";

const services = [...TARGETS.flatMap((target) => target.services), ServerService];
const methods = services.flatMap((service) =>
  service.methods.map((method) => ({ name: `${service.name}.${method.name}`, method })),
);
const validator = newValidator(schemaOf(services).registry);

/** `option idempotency_level` as the .proto says it: descriptors cannot tell "unknown" from "not said". */
const said = readdirSync(new URL("../proto", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith("_service.proto"))
  .flatMap((file) => {
    const text = readFileSync(new URL(`../proto/${file}`, import.meta.url), "utf8");
    return [...text.matchAll(/rpc (\w+)\([^)]*\) returns \([^)]*\) \{\s*option idempotency_level = (\w+);/g)].map(
      ([, rpc]) => rpc,
    );
  });

describe("every rpc of ours", () => {
  it("exists", () => expect(methods.length).toBeGreaterThan(0));

  it.each(methods)("$name says its idempotency level", ({ method }) => {
    expect(said).toContain(method.name);
  });

  it.each(methods)("$name changes nothing when it is named like a read", ({ method }) => {
    const reads = /^(Get|List|Watch)/.test(method.name);
    expect(method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS).toBe(reads);
  });

  it.each(methods)("$name has rules for its request that compile", ({ method }) => {
    expect(validator.validate(method.input, create(method.input)).kind).not.toBe("error");
  });

  it.each(methods)("$name has a rule for each field of its request that is not a bool", ({ method }) => {
    const bare = method.input.fields
      .filter(({ fieldKind, scalar }) => !(fieldKind === "scalar" && scalar === 8))
      .filter((field) => !hasOption(field, fieldRules));
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  it.each(methods)("$name says how many items the lists of its request may have, and has no maps", ({ method }) => {
    const unbounded = method.input.fields.filter((field) => {
      if (field.fieldKind === "map") return true;
      if (field.fieldKind !== "list") return false;
      const { type } = getOption(field, fieldRules);
      return type.case !== "repeated" || type.value.maxItems === 0n;
    });
    expect(unbounded.map(({ name }) => name)).toEqual([]);
  });

  it.each(methods.filter(({ method }) => method.input.fields.some(({ name }) => name === "resource")))(
    "$name asks for a version where it asks for a resource",
    ({ method }) => {
      const required = (name: string) => {
        const found = method.input.fields.find((candidate) => candidate.name === name);
        return found !== undefined && getOption(found, fieldRules).required;
      };
      expect(required("version") || hasOption(method.input, messageRules)).toBe(true);
    },
  );
});

describe("RestartRequest", () => {
  it("keeps the numbers of the published proto", () => {
    const request = methods.find(({ name }) => name === "WorkloadService.Restart")?.method.input;
    expect(Object.fromEntries(request?.fields.map(({ name, number }) => [name, number]) ?? [])).toEqual({
      cluster: 1,
      group: 2,
      version: 3,
      resource: 4,
      namespace: 5,
      name: 6,
      request_id: 7,
      validate_only: 8,
      reason: 9,
      override_freeze: 10,
    });
  });
});
