import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescMessage } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptions_OptionTargetType,
  FieldOptionsSchema,
  UninterpretedOptionSchema,
} from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Decoded, decodeYaml } from "../../src/config/decode.ts";
import { readYaml } from "../../src/config/yaml.ts";
import { formatProblem } from "../../src/core/problem.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-decode-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("decodeYaml()", () => {
  it("reads numbers, enums, lists and nested messages by the descriptor alone", () => {
    const { message, problems } = decode(
      FieldDescriptorProtoSchema,
      `
      name: a
      number: 7
      label: LABEL_REPEATED
      type: TYPE_BOOL
      proto3_optional: true
      options:
        targets: [TARGET_TYPE_FIELD, TARGET_TYPE_ENUM]
      `,
    );
    expect(problems).toEqual([]);
    expect(message).toEqual(
      create(FieldDescriptorProtoSchema, {
        name: "a",
        number: 7,
        label: FieldDescriptorProto_Label.REPEATED,
        type: FieldDescriptorProto_Type.BOOL,
        proto3Optional: true,
        options: {
          targets: [FieldOptions_OptionTargetType.TARGET_TYPE_FIELD, FieldOptions_OptionTargetType.TARGET_TYPE_ENUM],
        },
      }),
    );
  });

  it("says what is expected of every type, and what cannot be read is unset", () => {
    const { message, problems, unreadable } = decode(
      FieldDescriptorProtoSchema,
      "name: true\nnumber: 1.5\nproto3_optional: 1\noptions: { targets: [FIELD, TARGET_TYPE_ENUM] }\n",
    );
    expect(problems.map(formatProblem)).toEqual([
      "a.yaml:1:7: name: must be text (in quotes where it looks like something else), but is true",
      "a.yaml:2:9: number: must be a whole number, but is 1.5",
      "a.yaml:3:18: proto3_optional: must be true or false, but is 1",
      `a.yaml:4:22: options.targets[0]: must be one of ${FieldOptionsSchema.field.targets.enum?.values.map(({ name }) => name).join(", ")}, but is "FIELD"`,
    ]);
    expect([...unreadable]).toEqual(["name", "number", "proto3_optional", "options.targets[0]"]);
    expect(message).toEqual(
      create(FieldDescriptorProtoSchema, {
        options: {
          targets: [FieldOptions_OptionTargetType.TARGET_TYPE_UNKNOWN, FieldOptions_OptionTargetType.TARGET_TYPE_ENUM],
        },
      }),
    );
  });

  it("reads a key that it does not know as the near one, unless that is there itself", () => {
    const { message, problems } = decode(
      UninterpretedOptionSchema,
      "identifier_valu: a\nidentifier_value: b\ndouble_value: x\n",
    );
    expect(problems.map(formatProblem)).toEqual([
      "a.yaml:1:1: identifier_valu: is not a known key; known here: name, identifier_value, positive_int_value, negative_int_value, double_value, string_value, aggregate_value",
      `a.yaml:3:15: double_value: must be a number, but is "x"`,
    ]);
    expect(message.identifierValue).toBe("b");
    expect(decode(UninterpretedOptionSchema, "identifier_valu: a").message.identifierValue).toBe("a");
  });

  it("finds the place of a field, or else of the nearest thing around it", () => {
    const { positionOf } = decode(
      FieldDescriptorProtoSchema,
      "name: a\noptions:\n  targets:\n    - TARGET_TYPE_FIELD\n",
    );
    expect(positionOf(["name"])).toEqual({ line: 1, column: 7 });
    expect(positionOf(["options", "targets", 0])).toEqual({ line: 4, column: 7 });
    expect(positionOf(["options", "targets", 1])).toEqual({ line: 4, column: 5 });
    expect(positionOf(["options", "deprecated"])).toEqual({ line: 3, column: 3 });
    expect(positionOf(["number"])).toEqual({ line: 1, column: 1 });
  });

  it("shows no value of a field that is marked debug_redact", () => {
    const { number } = FieldDescriptorProtoSchema.field;
    const options = number.proto.options;
    number.proto.options = create(FieldOptionsSchema, { debugRedact: true });
    try {
      const { problems } = decode(FieldDescriptorProtoSchema, "number: hunter2");
      expect(problems.map(({ message }) => message)).toEqual(["must be a whole number, but is not shown"]);
    } finally {
      if (options === undefined) delete number.proto.options;
      else number.proto.options = options;
    }
  });
});

function decode<Desc extends DescMessage>(schema: Desc, text: string): Decoded<Desc> {
  const path = join(folder, "a.yaml");
  writeFileSync(path, text);
  const source = readYaml(path, "a.yaml");
  if (!("root" in source)) throw new Error(source.map(formatProblem).join("\n"));
  return decodeYaml(schema, source);
}
