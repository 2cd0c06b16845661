import { createRegistry } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { hashOf, readTokenFile } from "../../src/access/tokens.ts";
import { runToken } from "../../src/commands/token.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { temporaryFolder } from "../support/folder.ts";

const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));

/** Runs the command, and answers its exit code and what it said. */
function run(args: readonly string[]) {
  let stdout = "";
  let stderr = "";
  const code = runToken(args, {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    random: (bytes) => Buffer.alloc(bytes, 7),
    hash: hashOf,
  });
  return { code, stdout, stderr };
}

it.each([
  [["--name", "nightly"]],
  [["--name", "a, b: [c] # \"d\" 'e' {f}", "--group", "x, y", "--group", "z: -"]],
  [["--name", "ñandú/中", "--group", "null", "--expires", "2027-01-31T00:00:00.5+02:00"]],
  [["--name", "true", "--group", "1.0"]],
])("prints a line for %j that the server takes as it was meant", async (args) => {
  const { code, stdout } = run(["new", ...args]);
  expect(code).toBe(0);
  const [token = "", line = ""] = stdout.split("\n");
  await using folder = await temporaryFolder();
  const path = await folder.write("tokens.yaml", line);
  const { value, problems } = readTokenFile({ path, file: "tokens.yaml" }, validator, new Date(0));
  expect(problems).toEqual([]);
  const of = (flag: string) => args.flatMap((one, at) => (args[at - 1] === flag ? [one] : []));
  expect(value.get(hashOf(token))).toMatchObject({
    id: `token:${of("--name")[0]}`,
    groups: of("--group").map((group) => `token:${group}`),
  });
});

it.each([
  ["a name with a blank at its end", ["--name", "nightly "], /--name must be a plain name: one has a blank/],
  ["a name with a line end", ["--name", "a\nb"], /--name must be a plain name: one has a control character/],
  ["a name too long", ["--name", "x".repeat(507)], /--name must be a plain name: one has more than 506 characters/],
  ["an empty group", ["--name", "a", "--group", ""], /--group must be at most 200 plain names: one is empty/],
  ["a group with a line end", ["--name", "a", "--group", "b\n"], /--group must be .*control character/],
  ["a group too long", ["--name", "a", "--group", "x".repeat(251)], /--group must be .*more than 250 characters/],
  ["201 groups", ["--name", "a", ...Array(201).fill("--group=b")], /--group must be .*more than 200/],
  ["a time that there is not", ["--name", "a", "--expires", "2027-13-31T00:00:00Z"], /is not a time/],
])("makes nothing for %s, which no server would take", (_, args, wrong) => {
  const { code, stdout, stderr } = run(["new", ...args]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(wrong);
});
