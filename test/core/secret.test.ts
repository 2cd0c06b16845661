import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretSchema } from "../../gen/restart/config/v1/secret_pb.ts";
import { createReport } from "../../src/config/report.ts";
import { readSecret } from "../../src/core/secret.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-secret-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

describe("readSecret()", () => {
  it("leaves out the white space at a file's end alone", () => {
    write("secret", "  a b \r\n\n");
    const give = readSecret(secret({ case: "file", value: "secret" }), ["key"], reportOf().reader);
    expect(give?.()).toBe("  a b");
  });

  it("takes a variable as it is", () => {
    const environment = { KEY: " a " };
    expect(readSecret(secret({ case: "env", value: "KEY" }), ["key"], reportOf().reader, environment)?.()).toBe(" a ");
  });

  it("reports a variable with nothing in it", () => {
    const report = reportOf();
    readSecret(secret({ case: "env", value: "KEY" }), ["key"], report.reader, { KEY: " " });
    expect(report.problems).toMatchObject([
      {
        field: "key.env",
        message: "must be an environment variable with the secret in it, but KEY is empty; set it before the start",
      },
    ]);
  });

  it("says what became of a file, and not what was in it", () => {
    write("secret", "hunter2");
    const give = readSecret(secret({ case: "file", value: "secret" }), ["some", "key"], reportOf().reader);
    const file = JSON.stringify(join(folder, "secret"));
    write("secret", "");
    expect(give).toThrow(new Error(`some.key.file: ${file} is empty`));
    rmSync(join(folder, "secret"));
    expect(give).toThrow(new Error(`some.key.file: ${file} cannot be read: no such file or directory`));
    write("secret", "hunter3");
    expect(give?.()).toBe("hunter3");
  });
});

const secret = (source: NonNullable<MessageInitShape<typeof SecretSchema>["source"]>) =>
  create(SecretSchema, { source });

const reportOf = () => createReport({ file: undefined, folder, positionOf: () => undefined }, [], new Set());

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}
