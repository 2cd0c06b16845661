import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { send } from "../server/fixture.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { dumpDom, type Site, startSite, visit } from "./browser/chromium.ts";
import type { PageResult } from "./browser/protocol.ts";
import { PAUSED, PAUSED_INFO, SERVICE, WEB, WEB_DONE } from "./calls.ts";
import { need } from "./tools.ts";

const chromium = need("chromium");

describe.skipIf(chromium.missing)("connect-web in Chromium", () => {
  let allowed: Site;
  let stranger: Site;
  let configured: Configured;

  beforeAll(async () => {
    [allowed, stranger] = await Promise.all([startSite(), startSite()]);
    configured = await startConfigured({ cors: { allowed_origins: [allowed.origin] } });
    allowed.config = { baseUrl: configured.program.url, task: "use" };
    stranger.config = { baseUrl: configured.program.url, task: "attack" };
  });

  afterAll(async () => {
    await configured[Symbol.asyncDispose]();
    await Promise.all([allowed[Symbol.asyncDispose](), stranger[Symbol.asyncDispose]()]);
  });

  describe("on a page of an allowed origin", () => {
    let told: PageResult;

    beforeAll(async () => {
      told = await visit(chromium.path, allowed);
      expect(told.failed).toBeUndefined();
    });

    it("uses every transport", () => {
      expect(Object.keys(told.tried ?? {})).toEqual([
        "connect, JSON",
        "connect, binary",
        "connect, reads by GET",
        "grpc-web, JSON",
        "grpc-web, binary",
      ]);
    });

    it("restarts, and reads the warnings", () => {
      for (const { headers } of Object.values(told.tried ?? {})) {
        // `date` is there as well, but not for pages.
        expect(headers).toEqual({
          "restart-warning": "RECREATE_DOWNTIME",
          "cache-control": "no-store",
          date: null,
        });
      }
      expect(configured.patches()).toBe(10);
    });

    it("watches a rollout", () => {
      for (const { states, last, desired } of Object.values(told.tried ?? {})) {
        expect(states.at(-1)).toBe("COMPLETE");
        expect(last).toBe(WEB_DONE);
        expect(desired).toBe(3);
      }
    });

    it("reads typed error details", () => {
      for (const { paused, invalid, stream } of Object.values(told.tried ?? {})) {
        expect(paused).toEqual({
          code: "FailedPrecondition",
          message: PAUSED,
          info: [PAUSED_INFO],
          violations: [{ type: "PAUSED", subject: "deployments.apps/shop/checkout" }],
        });
        expect(invalid).toEqual({ code: "InvalidArgument", fields: ["namespace", "name"] });
        expect(stream).toEqual({ code: "NotFound", reasons: ["TARGET_NOT_FOUND"] });
      }
    });
  });

  it("may read both headers of a restart", async () => {
    const { headers } = await send(1, configured.program.url, {
      path: `/${SERVICE}/Restart`,
      headers: { "content-type": "application/json", origin: allowed.origin },
      body: JSON.stringify({ ...WEB, validateOnly: true }),
    });
    expect(headers["access-control-allow-origin"]).toBe(allowed.origin);
    const exposed = String(headers["access-control-expose-headers"]).toLowerCase().split(", ");
    expect(exposed).toEqual(expect.arrayContaining(["operation-name", "restart-warning", "grpc-status-details-bin"]));
  });

  it("gets nothing on a page of another origin, and nothing is restarted", async () => {
    const before = configured.patches();
    const lines = configured.program.log.length;
    const { seen, failed } = await visit(chromium.path, stranger);
    expect(failed).toBeUndefined();
    expect(seen).toEqual({
      "connect-web": "Failed to fetch",
      "gRPC-Web": "Failed to fetch",
      "connect-web, a read by GET": "Failed to fetch",
      // Sent without asking, and their answers kept from the page.
      "JSON as text": "opaque",
      "JSON as a form": "opaque",
      "JSON without a type": "opaque",
      "a GET": "opaque",
    });
    expect(configured.patches()).toBe(before);
    // A GET that asks for no permission says no origin, but that it comes from another site.
    const reasons = () => configured.program.log.slice(lines).flatMap(({ reason }) => (reason ? [reason] : []));
    await expect.poll(reasons).toEqual(Array(7).fill("HOST_NOT_ALLOWED"));
  });

  it("gets nothing through a name that was rebound to us", async () => {
    const before = configured.backend.simulator.requests.length;
    const { port } = new URL(configured.program.url);
    const query = new URLSearchParams({ connect: "v1", encoding: "json", message: JSON.stringify(WEB) });
    const document = await dumpDom(chromium.path, `http://rebound.example:${port}/${SERVICE}/GetRollout?${query}`);
    expect(document).toContain(`the request has Host \\"rebound.example:${port}\\"`);
    expect(document).toContain("HOST_NOT_ALLOWED");
    expect(configured.backend.simulator.requests.slice(before)).toEqual([]);
  });
});
