import { createRegistry } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { rarely } from "../../src/access/access.ts";
import { ANY } from "../../src/access/check.ts";
import { compileExpression } from "../../src/access/expression.ts";

const SECRET = "hunter2(";

/** What an expression finds where every claim is the secret. */
function find(text: string): boolean | Error {
  const { evaluate } = compileExpression(text, { variables: new Map([["claims", ANY]]) }, createRegistry());
  if (evaluate === undefined) throw new Error(`${text} is not understood`);
  return evaluate({ claims: { team: SECRET, list: [SECRET], deep: nested(9_000), other: nested(9_000) } });
}

const nested = (levels: number) => JSON.parse(`${"[".repeat(levels)}1${"]".repeat(levels)}`);

const GENERAL = "it cannot be computed with what a call or its credential says";

describe("an expression that errs", () => {
  it.each([
    ["claims.nope == 1", "field not found: nope"],
    ["claims.team + 1 == 2", "found no matching overload for '_+_' applied to '(string, int)'"],
    ["claims.team", "it is not true or false"],
    ["int(claims.team) > 5", GENERAL],
    ["claims[claims.team] == 1", GENERAL],
    ["claims.team.matches(claims.team)", GENERAL],
    ["timestamp(claims.team) == timestamp(claims.team)", GENERAL],
    ["duration(claims.team) == duration('1s')", GENERAL],
    ["claims.list[7] == 'a'", GENERAL],
    ["claims.deep == claims.other", GENERAL],
  ])("says why, and nothing of what callers say: %s", (text, why) => {
    expect(find(text)).toEqual(new Error(why));
  });
});

describe("rarely()", () => {
  it("passes on what is said of one thing once a minute, however it is said", () => {
    let time = 0;
    const told: string[] = [];
    const tell = rarely(
      (message) => told.push(message),
      () => new Date(time),
    );
    for (const message of ["a errs: 1", "a errs: 2"]) tell(message, "a");
    tell("b errs: 1", "b");
    for (const _ of [1, 2]) tell("c is away");
    expect(told).toEqual(["a errs: 1", "b errs: 1", "c is away"]);
    time = 59_999;
    tell("a errs: 3", "a");
    time = 60_000;
    for (const message of ["a errs: 4", "a errs: 5"]) tell(message, "a");
    expect(told.slice(3)).toEqual(["a errs: 4"]);
  });
});
