import { describe, expect, it } from "vitest";
import { readOffset, readPageToken, writePageToken } from "../../src/core/page-token.ts";

describe("readPageToken()", () => {
  it("gives back what was written, and nothing without a token", () => {
    expect(readPageToken(writePageToken(7, ["a", "b"]), ["a", "b"], readOffset)).toBe(7);
    expect(readPageToken("", ["a"], readOffset)).toBeUndefined();
  });

  it.each([
    ["another list's", writePageToken(7, ["a", "b"]), /belongs to a list with other fields/],
    ["no token", "x", /is not a token that this service made/],
    ["a negative place", writePageToken(-1, ["a"]), /is not a token/],
    ["a place between", writePageToken(0.5, ["a"]), /is not a token/],
  ])("refuses %s", (_what, token, message) => {
    expect(() => readPageToken(token, ["a"], readOffset)).toThrow(
      expect.objectContaining({ reason: "INVALID_ARGUMENT", message: expect.stringMatching(message) }),
    );
  });
});
