import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  authorizationOf,
  canonicalQuery,
  canonicalRequest,
  encode,
  type SignedParts,
  sdkDate,
  signatureOf,
} from "../../../src/clouds/huawei/sign.ts";
import vectors from "./signing-vectors.json" with { type: "json" };

type Vector = (typeof vectors)[number];

/** A vector's request, with the headers that it signs. */
const partsOf = ({ method, url, headers, body }: Vector): SignedParts => ({
  method,
  url: new URL(url),
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
  body,
});

const PARTS: SignedParts = {
  method: "GET",
  url: new URL("https://dcs.region.example.com/v2/p/instances?limit=10"),
  headers: { host: "dcs.region.example.com", "x-sdk-date": "20191115T033655Z" },
  body: "",
};

it("has every vector of the contract", () => {
  expect(vectors.map(({ name }) => name)).toEqual([
    "doc-vpcs",
    "py-get",
    "py-post",
    "java-get",
    "java-post",
    "go-get",
    "go-post",
    "DCS soft_restart",
    "DDM v1 soft",
  ]);
});

describe.each(vectors)("vector $name", (vector) => {
  it("has the published canonical request, or its hash", () => {
    const canonical = canonicalRequest(partsOf(vector));
    expect(canonical).toBe(vector.canonicalRequest);
    expect(createHash("sha256").update(canonical).digest("hex")).toBe(vector.canonicalHash);
  });

  it("has the published signature and header", () => {
    expect(signatureOf(partsOf(vector), vector.sk)).toBe(vector.signature);
    expect(authorizationOf(partsOf(vector), { accessKey: vector.ak, secretKey: vector.sk })).toBe(vector.authorization);
  });
});

describe("signatureOf()", () => {
  const signature = signatureOf(PARTS, "secret");

  it("does not depend on the case and order of headers, nor on spaces around their values", () => {
    const headers = { "X-Sdk-Date": " 20191115T033655Z ", Host: "dcs.region.example.com" };
    expect(signatureOf({ ...PARTS, headers }, "secret")).toBe(signature);
  });

  it("takes a body as bytes or as text", () => {
    const body = '{"name":"一"}';
    expect(signatureOf({ ...PARTS, body: Buffer.from(body) }, "secret")).toBe(
      signatureOf({ ...PARTS, body }, "secret"),
    );
  });

  it.each<[string, Partial<SignedParts>]>([
    ["method", { method: "PUT" }],
    ["path", { url: new URL("https://dcs.region.example.com/v2/p/instance?limit=10") }],
    ["query", { url: new URL("https://dcs.region.example.com/v2/p/instances?limit=11") }],
    ["body", { body: "{}" }],
    ["a header's value", { headers: { ...PARTS.headers, "x-sdk-date": "20191115T033656Z" } }],
    ["a further header", { headers: { ...PARTS.headers, "x-project-id": "p" } }],
  ])("is another one when the %s is", (_what, change) => {
    expect(signatureOf({ ...PARTS, ...change }, "secret")).not.toBe(signature);
  });

  it("is another one for another secret", () => {
    expect(signatureOf(PARTS, "secret2")).not.toBe(signature);
  });
});

describe("canonicalRequest()", () => {
  it.each([
    ["/", "/"],
    ["/v2/p", "/v2/p/"],
    ["/v2/p/", "/v2/p/"],
    ["/a%20b/%E4%B8%80", "/a%20b/%E4%B8%80/"],
    ["/a!b'c(d)*e", "/a%21b%27c%28d%29%2Ae/"],
    ["/a~b-c_d.e", "/a~b-c_d.e/"],
    ["/a%2Fb", "/a%2Fb/"],
  ])("writes the path %s as %s", (path, canonical) => {
    expect(canonicalRequest({ ...PARTS, url: new URL(`https://h${path}`) }).split("\n")[1]).toBe(canonical);
  });
});

describe("canonicalQuery()", () => {
  it.each([
    ["", ""],
    ["?b=2&a=1", "a=1&b=2"],
    ["?a=2&a=10&a=1", "a=1&a=10&a=2"],
    ["?a", "a="],
    ["?a=&b", "a=&b="],
    ["?a=b=c", "a=b%3Dc"],
    ["?a=1%2B1+2", "a=1%2B1%2B2"],
    ["?a-b=1&a=2", "a=2&a-b=1"],
    ["?B=1&a=2", "B=1&a=2"],
  ])("writes %s as %s", (query, canonical) => {
    expect(canonicalQuery(query)).toBe(canonical);
  });

  it("agrees with the vector of the Python and Go SDKs' tests", () => {
    const values = { limit: "1", test: "一 (&=?!#%.*)", path: "/tmp/123", enable: "true" };
    const pairs = Object.entries(values).map(([name, value]) => `${name}=${encode(value)}`);
    expect(canonicalQuery(`?${[...pairs, "multi=3", "multi=1", "multi=2"].join("&")}`)).toBe(
      "enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29",
    );
  });
});

describe("sdkDate()", () => {
  it("has neither separators nor fractions of a second", () => {
    expect(sdkDate(new Date("2019-11-15T03:36:55.987Z"))).toBe("20191115T033655Z");
  });
});
