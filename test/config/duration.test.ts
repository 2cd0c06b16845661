import { describe, expect, it } from "vitest";
import { secondsOf } from "../../src/config/duration.ts";

describe("secondsOf()", () => {
  it.each([
    ["60s", "60"],
    ["1h30m", "5400"],
    ["500ms", "0.5"],
    ["1.5h", "5400"],
    ["1h0.1s", "3600.1"],
    ["250us", "0.00025"],
    ["1ns", "0.000000001"],
    ["87600h", "315360000"],
    ["0s", "0"],
  ])("reads %s", (text, seconds) => {
    const read = secondsOf(text);
    expect(read).toMatch(/^\d+(\.\d{1,9})?s$/);
    expect(Number(read?.slice(0, -1))).toBe(Number(seconds));
  });

  it.each(["", "60", "s", "10 s", "1d", "-1s", "+1s", "1H", "1e3s", ".5s", "5.s", "1h-30m", "1h 30m", "\n1s"])(
    "does not read %j",
    (text) => expect(secondsOf(text)).toBeUndefined(),
  );
});
