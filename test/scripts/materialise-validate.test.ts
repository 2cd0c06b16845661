import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { printProto } from "../../scripts/print-proto.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-print-proto-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("materialise-validate", () => {
  it("writes a validate.proto that compiles to the descriptor it came from", () => {
    execFileSync(process.execPath, ["scripts/materialise-validate.ts"]);
    const source = readFileSync("node_modules/.cache/restartd/proto/buf/validate/validate.proto", "utf8");
    expect(source.split("\n", 2)).toEqual([
      "// Written from the descriptor in @bufbuild/protovalidate (Apache-2.0, Buf Technologies, Inc.), whose comments it lacks.",
      "// Made by scripts/materialise-validate.ts; do not edit.",
    ]);
    const built = find(build("buf/validate/validate.proto", source), "buf/validate/validate.proto");
    expect(text(built)).toBe(text(file_buf_validate_validate.proto));
  });
});

describe("printProto()", () => {
  it.each(["proto2", "proto3", "editions"] as const)(
    "writes a file in %s so that it compiles to the same descriptor",
    (name) => {
      const set = build("a.proto", SOURCES[name]);
      const file = createFileRegistry(set).getFile("a.proto");
      if (file === undefined) throw new Error("buf did not build a.proto");
      expect(text(find(build("a.proto", printProto(file)), "a.proto"))).toBe(text(find(set, "a.proto")));
    },
  );

  it("refuses an option that nothing defines, rather than losing it", () => {
    const set = build("a.proto", SOURCES.proto2);
    const message = find(set, "a.proto").messageType[1];
    if (message?.options === undefined) throw new Error("the second message has options");
    message.options.$unknown = [{ no: 4711, wireType: 0, data: new Uint8Array([1]) }];
    const file = createFileRegistry(set).getFile("a.proto");
    if (file === undefined) throw new Error("buf did not build a.proto");
    expect(() => printProto(file)).toThrow(
      "message google.protobuf.MessageOptions: nothing defines option number 4711",
    );
  });
});

const SOURCES = {
  proto2: `
    syntax = "proto2";
    package a.b;
    import public "google/protobuf/descriptor.proto";
    extend google.protobuf.MessageOptions {
      optional string note = 50001;
      optional Options more = 50002;
      optional double limit = 50003;
    }
    message Options { repeated string words = 1; optional Kind kind = 2; optional bytes raw = 3; optional Options inner = 4; extensions 100 to max; }
    extend Options { optional float weight = 100; }
    enum Kind { option allow_alias = true; ZERO = 0; NIL = 0 [deprecated = true]; LAST = -1; reserved 5 to 7, 9, 100 to max; reserved "OLD"; }
    message Thing {
      option (note) = "tab\\t\\"quoted\\" \\303\\251";
      option (more) = { words: ["a", "b"] kind: LAST raw: "\\000\\377" inner { words: "c" } [a.b.weight]: -inf };
      option (limit) = -1.5e300;
      required int32 number = 1 [default = -7];
      optional string text = 2 [default = "say \\"hi\\""];
      optional bytes raw = 3 [default = "\\001\\"x"];
      optional Kind kind = 4 [default = LAST];
      optional double far = 5 [default = inf];
      repeated fixed64 numbers = 6 [packed = true, deprecated = true];
      map<string, Thing> children = 7;
      oneof choice { string left = 8; Thing right = 9; }
      message Inner { extend Thing { repeated Inner extra = 200; } }
      reserved 20, 30 to 39;
      reserved "gone";
      extensions 200 to 299;
    }`,
  proto3: `
    syntax = "proto3";
    package a;
    import "google/protobuf/empty.proto";
    option go_package = "x";
    message Thing { optional string maybe = 1; string always = 2; map<int32, State> states = 3; enum State { STATE_UNSPECIFIED = 0; } }
    message Nothing {}
    service Things {
      option deprecated = true;
      rpc Get(Thing) returns (google.protobuf.Empty) { option idempotency_level = NO_SIDE_EFFECTS; }
      rpc Talk(stream Thing) returns (stream Thing);
    }`,
  editions: `
    edition = "2023";
    package a;
    option features.field_presence = IMPLICIT;
    message Thing { string name = 1 [features.field_presence = EXPLICIT]; repeated int32 numbers = 2 [features.repeated_field_encoding = EXPANDED]; reserved old; }
    enum Kind { option features.enum_type = CLOSED; KIND_ONE = 1; }`,
};

function build(path: string, source: string): FileDescriptorSet {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), source);
  const args = ["build", "--as-file-descriptor-set", "--exclude-source-info", "-o", "-"];
  const bytes = execFileSync("buf", args, { cwd: folder, maxBuffer: 2 ** 26 });
  return fromBinary(FileDescriptorSetSchema, new Uint8Array(bytes));
}

function find(set: FileDescriptorSet, path: string): FileDescriptorProto {
  const file = set.file.find((candidate) => candidate.name === path);
  if (file === undefined) throw new Error(`buf did not build ${path}`);
  return file;
}

/** Everything in a descriptor, as lines: custom options too (unknown fields of the options), only without the json_name that buf adds. */
function text(file: FileDescriptorProto): string {
  const plain = (key: string, value: unknown): unknown => {
    if (key === "jsonName") return undefined;
    if (value instanceof Uint8Array) return Array.from(value).join(" ");
    return typeof value === "bigint" ? `${value}` : value;
  };
  return JSON.stringify(file, plain, 1);
}
