import { describe, expect, it } from "vitest";
import { createHosts } from "../../src/server/hosts.ts";

describe("createHosts()", () => {
  const isOurs = createHosts(["restartd.example.com", "10.0.0.1", "[2001:db8::1]", "*.internal.example"]);

  it.each([
    "restartd.example.com",
    "restartd.example.com:8443",
    "Restartd.Example.COM",
    "restartd.example.com.",
    "10.0.0.1:1",
    "[2001:db8::1]:8443",
    "[2001:DB8:0:0::1]",
    "a.internal.example",
  ])("knows %s", (host) => expect(isOurs(host)).toBe(true));

  it.each([
    "",
    ":8443",
    "example.com",
    "x.restartd.example.com",
    "restartd.example.com.evil.example",
    "restartd.example.com:99999",
    "restartd.example.com:8443:1",
    "restartd.example.com@evil.example",
    "restartd.example.com/",
    "10.0.0.10",
    "2001:db8::1",
    "[2001:db8::2]",
    "internal.example",
    "a.b.internal.example",
    ".internal.example",
    "localhost",
    "127.0.0.1",
  ])("does not know %j", (host) => expect(isOurs(host)).toBe(false));

  it("knows loopback alone where it has no names", () => {
    const loopback = createHosts([]);
    expect(["localhost", "127.0.0.1:8080", "[::1]:1", "LOCALHOST"].every(loopback)).toBe(true);
    expect(
      ["", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "localhost:123456"].some(loopback),
    ).toBe(false);
  });
});
