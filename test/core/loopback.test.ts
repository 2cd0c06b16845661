import { describe, expect, it } from "vitest";
import { isLoopbackHost } from "../../src/core/loopback.ts";

describe("isLoopbackHost()", () => {
  it.each(["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1", "[::1]"])("knows %s", (host) => {
    expect(isLoopbackHost(host)).toBe(true);
  });

  it.each([
    "",
    "0.0.0.0",
    "::",
    "127.0.0.1.example.com",
    "localhost.example.com",
    "xlocalhost",
    "128.0.0.1",
    "127.1",
    "[::1",
  ])("does not take %j for it", (host) => {
    expect(isLoopbackHost(host)).toBe(false);
  });
});
