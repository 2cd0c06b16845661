import { inspect } from "node:util";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PreconditionFailureSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import {
  RefreshDeploymentRequestSchema,
  RefreshDeploymentResponseSchema,
} from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { Failure } from "../../../src/core/errors.ts";
import type { OperationView } from "../../../src/core/operation.ts";
import { createRefreshAction, type RefreshAction } from "../../../src/targets/arcgis/action.ts";
import { openSite, type Site } from "../../../src/targets/arcgis/client.ts";
import {
  type ArcgisSimulator,
  type JobEnding,
  replies,
  startArcgisSimulator,
} from "../../../src/targets/arcgis/simulator.ts";
import { FEATURES, failureOf, newAsking, newSending, STORE, SYSTEM, settingsOf } from "./site.ts";

let simulator: ArcgisSimulator;
let site: Site;
let action: RefreshAction;
beforeEach(async () => {
  simulator = await startArcgisSimulator();
  site = openSite(settingsOf(simulator), { now: () => new Date(), monotonic: () => performance.now() });
  action = createRefreshAction({ sites: new Map([["gis", site]]), pollIntervalMs: 1_234 });
});
afterEach(async () => {
  await site[Symbol.asyncDispose]();
  await simulator[Symbol.asyncDispose]();
});

const requestFor = (
  deploymentId: string,
  fields: { async?: boolean; acknowledgeOutage?: boolean; site?: string } = {},
) => create(RefreshDeploymentRequestSchema, { site: "gis", deploymentId, ...fields });
const posts = () => simulator.requests.filter(({ path }) => path.endsWith("/refresh"));

async function send(request = requestFor(FEATURES), sending = newSending()) {
  const plan = await action.prepare(request, newAsking());
  expect(posts(), "nothing is sent before a permit").toEqual([]);
  return action.send(request, plan, sending);
}

const view = (vendorJob: string, state: OperationView["state"] = "SENT"): OperationView => ({
  name: "operations/1",
  target: `sites/gis/deployments/${FEATURES}`,
  state,
  evidence: {},
  vendorJob,
});
const observe = (vendorJob: string, request = requestFor(FEATURES, { async: true })) =>
  action.observe(view(vendorJob), request, AbortSignal.timeout(5_000));

describe("createRefreshAction()", () => {
  it("says what it is about, and how long doubt lasts", () => {
    expect(action.targetOf(requestFor("k1", { site: "a/b" }))).toBe("sites/a%2Fb/deployments/k1");
    expect(action.actionOf(requestFor("k1"))).toBe("refresh");
    expect(action).toMatchObject({ blocksUntil: "ended", settleMs: 1_865_000 });
  });

  it("records what is refreshed before anything leaves, and signs in before it asks", async () => {
    const order: string[] = [];
    const sending = newSending();
    const permit: typeof sending.permit = async (evidence) => {
      order.push(`permit after ${simulator.requests.length}`);
      await sending.permit(evidence);
      return () => void order.push("leaving");
    };
    const sent = await send(requestFor(FEATURES), { ...sending, permit });
    expect(order).toEqual(["permit after 3", "leaving"]);
    expect(sending.permits).toEqual([
      {
        async: false,
        deploymentId: FEATURES,
        name: "shared-featureserver",
        type: "FeatureServer",
        mode: "Shared",
        provider: "ArcObjects11",
      },
    ]);
    expect(sent).toEqual({ vendorJob: expect.stringMatching(/^j[0-9a-f-]{36}$/) });
    expect(sending.call.outcome).toBe("applied");
    expect(simulator.refreshes).toEqual(new Map([[FEATURES, 1]]));
  });

  it.each([false, true])("asks for a job (async %s), with the token in the body alone", async (async) => {
    await send(requestFor(FEATURES, { async }));
    const [post] = posts();
    expect(post?.url).toBe(`/context/admin/system/deployments/${FEATURES}/refresh`);
    expect(Object.fromEntries(new URLSearchParams(post?.body))).toEqual({
      async: "true",
      f: "json",
      token: simulator.tokens[0],
    });
    expect(post?.headers["content-type"]).toBe("application/x-www-form-urlencoded");
    expect(simulator.requests.map(({ headers }) => headers.referer)).toEqual(
      simulator.requests.map(() => "https://restartd.example.com/context"),
    );
  });

  it("answers with the job of an asynchronous one", async () => {
    const sent = await send(requestFor(FEATURES, { async: true }));
    expect(sent).toEqual({
      vendorJob: expect.stringMatching(/^j[0-9a-f-]{36}$/),
      response: create(RefreshDeploymentResponseSchema, {
        jobId: sent.vendorJob ?? "",
        jobStatus: "SUBMITTED",
        jobsUrl: `${simulator.adminUrl}/jobs/${sent.vendorJob}`,
      }),
    });
  });

  it("follows a job that a synchronous one was answered with, and its answer is that of the end", async () => {
    simulator.inject({ path: /refresh$/, answer: { status: 200, body: { jobID: "j1", jobStatus: "SUBMITTED" } } });
    expect(await send()).toEqual({ vendorJob: "j1" });
    const { vendorJob = "" } = await sendAgain({ async: true });
    expect(await observe(vendorJob, requestFor(FEATURES))).toMatchObject({
      kind: "succeeded",
      response: { status: "success", jobId: "" },
    });
  });

  it("leaves a site alone that is asked too often, whichever operation would look", async () => {
    const { vendorJob = "" } = await send(requestFor(FEATURES, { async: true }));
    simulator.inject({ path: /jobs\//, answer: { status: 429, headers: { "retry-after": "60" }, body: "slower" } });
    expect(await failureOf(observe(vendorJob, requestFor(FEATURES)))).toMatchObject({ reason: "THROTTLED" });
    const before = simulator.requests.length;
    const left = await failureOf(observe("another", requestFor(STORE)));
    expect(left).toMatchObject({ reason: "THROTTLED", outcome: "not_applied" });
    expect(left?.message).toContain("site gis: it has had too many requests");
    expect(simulator.requests.length).toBe(before);
  });

  it.each(["jobID", "jobId", "jobid", "address"] as const)(
    "finds the job where a site spells it %s",
    async (spelling) => {
      simulator.jobSpelling = spelling;
      const { vendorJob = "", response } = await send(requestFor(FEATURES, { async: true }));
      expect(response).toMatchObject({ jobId: vendorJob, jobStatus: "SUBMITTED" });
      expect(await observe(vendorJob)).toMatchObject({ kind: "succeeded" });
    },
  );

  it("finds the job by its address where its id is empty", async () => {
    const body = { jobID: "", jobsUrl: "https://gis.example.com/context/admin/jobs/j1?f=json", status: "SUBMITTED" };
    simulator.inject({ path: /refresh$/, answer: { status: 200, body } });
    expect(await send(requestFor(FEATURES, { async: true }))).toMatchObject({ vendorJob: "j1" });
  });

  it("takes the end from a site that has not heard of jobs", async () => {
    simulator.asyncForm = "ignored";
    const sending = newSending();
    expect(await send(requestFor(FEATURES), sending)).toEqual({
      done: true,
      response: create(RefreshDeploymentResponseSchema, { status: "success" }),
    });
    expect([sending.permits.length, simulator.refreshes.get(FEATURES)]).toEqual([1, 1]);
  });

  it.each(["portal", "server"] as const)(
    "asks once more, with a new permit, a site that refuses the word (%s)",
    async (shape) => {
      simulator.asyncForm = "refused";
      simulator.errorShape = shape;
      const sending = newSending();
      expect(await send(requestFor(FEATURES), sending)).toMatchObject({ done: true });
      expect(posts().map(({ body }) => new URLSearchParams(body).get("async"))).toEqual(["true", null]);
      expect([sending.permits.length, simulator.refreshes.get(FEATURES), sending.call.outcome]).toEqual([
        2,
        1,
        "applied",
      ]);
    },
  );

  it("does not do so for who asked for a job, nor for another mistake, nor where nothing is proven", async () => {
    simulator.asyncForm = "refused";
    expect(await failureOf(send(requestFor(FEATURES, { async: true })))).toMatchObject({
      reason: "VENDOR_REFUSED_REQUEST",
    });
    simulator.asyncForm = "job";
    simulator.forgetRequests();
    simulator.inject({ path: /refresh$/, answer: replies.httpError(400, "json") });
    expect(await failureOf(send())).toMatchObject({ reason: "VENDOR_REFUSED_REQUEST", outcome: "not_applied" });
    expect(posts()).toHaveLength(1);
    simulator.forgetRequests();
    const body = { status: "error", messages: ["The refresh (async) failed."] };
    simulator.inject({ path: /refresh$/, answer: { status: 500, body } });
    expect(await failureOf(send())).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect(posts()).toHaveLength(1);
  });

  it("takes an answer without a job for the end, as the first version gives it", async () => {
    simulator.inject({ path: /refresh$/, answer: { status: 200, body: { status: "success" } } });
    expect(await send(requestFor(FEATURES, { async: true }))).toMatchObject({ done: true });
  });

  it.each([
    ["another word", { status: "ok" }],
    ["nothing that is expected", {}],
    ["a job without an id", { jobID: "", jobStatus: "SUBMITTED" }],
    ["a job whose id leads elsewhere", { jobID: "../../sharing", jobStatus: "SUBMITTED" }],
    ["a job whose id is no text", { jobID: 7 }],
    ["a job whose address has no id", { jobsUrl: "https://gis.example.com/context/admin/jobs/", status: "success" }],
    ["a job whose address leads elsewhere", { jobsUrl: "https://gis.example.com/context/admin/jobs/..%2Fx" }],
  ])("does not take %s for a success", async (_what, body) => {
    simulator.inject({ path: /refresh$/, answer: { status: 200, body } });
    expect(await failureOf(send())).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
    expect(posts()).toHaveLength(1);
  });

  it.each([
    ["after it was executed", "after-executing", 1],
    ["before it was executed", "before-executing", 0],
    ["in the middle of its answer", "while-answering", 1],
  ] as const)("does not know what became of one whose connection ended %s", async (_what, disconnect, count) => {
    simulator.inject({ path: /refresh$/, disconnect });
    expect(await failureOf(send())).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
    expect([posts().length, simulator.refreshes.get(FEATURES) ?? 0]).toEqual([1, count]);
  });
});

const sendAgain = async (fields: { async?: boolean }) => {
  const request = requestFor(FEATURES, fields);
  return action.send(request, await action.prepare(request, newAsking()), newSending());
};

describe("a token that is refused", () => {
  it.each(["portal", "server"] as const)(
    "ends a refresh, which did nothing and is not sent again (%s)",
    async (shape) => {
      simulator.errorShape = shape;
      const request = requestFor(FEATURES);
      const plan = await action.prepare(request, newAsking());
      simulator.revokeTokens();
      const sending = newSending();
      const failure = await failureOf(action.send(request, plan, sending));
      expect(failure).toMatchObject({
        reason: "VENDOR_CREDENTIALS_REJECTED",
        outcome: "not_applied",
        metadata: { site: "gis", vendor: "arcgis", vendor_code: "498", vendor_http_status: "200" },
      });
      expect(failure.message).toContain("nothing was done, and the next call asks for a new one");
      expect([posts().length, sending.permits.length, simulator.refreshes.get(FEATURES)]).toEqual([1, 1, undefined]);
      simulator.forgetRequests();
      expect(await send(request)).toMatchObject({ vendorJob: expect.any(String) });
      expect([posts().length, simulator.tokens.length]).toEqual([1, 2]);
    },
  );

  it("is replaced once on reads too", async () => {
    await site.getDeployment(FEATURES, new AbortController().signal);
    simulator.revokeTokens();
    expect(await site.getStatus(FEATURES, new AbortController().signal)).toMatchObject({ currentState: "STARTED" });
    simulator.inject({ method: "GET", times: 9, answer: replies.invalidToken("server") });
    simulator.forgetRequests();
    expect(await failureOf(site.getStatus(FEATURES, new AbortController().signal))).toMatchObject({
      reason: "VENDOR_CREDENTIALS_REJECTED",
    });
    expect(simulator.requests.filter(({ method }) => method === "GET")).toHaveLength(2);
    const tokens = simulator.tokens.length;
    for (let count = 0; count < 5; count++) {
      expect((await failureOf(send(requestFor(FEATURES)))).message).toContain("the same is not tried again for 60 s");
    }
    expect([simulator.requests.filter(({ method }) => method === "GET").length, simulator.tokens.length]).toEqual([
      2,
      tokens,
    ]);
  });

  it("is used as long as it lives where its end is written as a text", async () => {
    simulator.inject({
      path: /generateToken$/,
      answer: (real) => ({ ...real, body: { ...Object(real.body), expires: String(Object(real.body).expires) } }),
    });
    await site.getDeployment(FEATURES, new AbortController().signal);
    await site.getStatus(FEATURES, new AbortController().signal);
    expect(simulator.tokens).toHaveLength(1);
  });

  it("is never given back once the password is another one", async () => {
    await site.getDeployment(FEATURES, new AbortController().signal);
    simulator.password = "new";
    await site.getDeployment(FEATURES, new AbortController().signal);
    expect(simulator.tokens).toHaveLength(2);
  });
});

describe("a request", () => {
  it("is not made with a wrong password, which is our fault", async () => {
    const other = openSite(settingsOf(simulator, { password: () => "hunter2" }), {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    const failure = await failureOf(other.getDeployment(FEATURES, new AbortController().signal));
    for (let count = 0; count < 10; count++) {
      expect((await failureOf(other.getJob("j1", new AbortController().signal))).reason).toBe(failure.reason);
    }
    await other[Symbol.asyncDispose]();
    expect(failure).toMatchObject({ reason: "VENDOR_CREDENTIALS_REJECTED", outcome: "not_applied" });
    expect(inspect(failure, { depth: 20 })).not.toContain("hunter2");
    expect(simulator.requests).toHaveLength(1);
  });

  it("does not leave when what comes before its first byte throws", async () => {
    const late = new Failure("DEADLINE_EXCEEDED", "late");
    const permit = async () => () => {
      throw late;
    };
    expect(await failureOf(send(requestFor(FEATURES), newSending({ permit })))).toBe(late);
    expect(posts()).toEqual([]);
  });

  it("puts its token into no error", async () => {
    await site.getDeployment(FEATURES, new AbortController().signal);
    for (const fault of [
      { disconnect: "after-executing" },
      { answer: replies.signInPage },
      { answer: replies.httpError(500, "html") },
      { answer: (real) => ({ ...real, status: 400 }) },
    ] as const satisfies Parameters<typeof simulator.inject>[0][]) {
      simulator.inject({ method: "GET", ...fault });
      const failure = await failureOf(site.getDeployment(FEATURES, new AbortController().signal));
      for (const secret of [simulator.password, ...simulator.tokens]) {
        expect(inspect(failure, { depth: 20, showHidden: true })).not.toContain(secret);
      }
    }
  });

  it("does not go where a redirect leads", async () => {
    simulator.inject({
      path: /refresh$/,
      answer: { status: 302, headers: { location: `${simulator.url}/elsewhere` } },
    });
    expect(await failureOf(send())).toMatchObject({ reason: "UPSTREAM_REDIRECT", outcome: "not_applied" });
    expect(simulator.requests.filter(({ path }) => path === "/elsewhere")).toEqual([]);
  });
});

describe("prepare()", () => {
  it("refuses what is not configured, or not there", async () => {
    expect(await failureOf(action.prepare(requestFor(FEATURES, { site: "other" }), newAsking()))).toMatchObject({
      reason: "SITE_NOT_FOUND",
    });
    expect(simulator.requests).toEqual([]);
    expect(await failureOf(action.prepare(requestFor("nope"), newAsking()))).toMatchObject({
      reason: "TARGET_NOT_FOUND",
    });
  });

  it.each([STORE, SYSTEM])("wants the outage of %s to be acknowledged", async (id) => {
    const failure = await failureOf(action.prepare(requestFor(id), newAsking()));
    expect(failure).toMatchObject({ reason: "OUTAGE_NOT_ACKNOWLEDGED", outcome: "not_applied" });
    const [detail] = failure.details;
    expect(detail?.desc).toBe(PreconditionFailureSchema);
    expect(detail?.value).toMatchObject({
      violations: [{ type: "OUTAGE_NOT_ACKNOWLEDGED", subject: `sites/gis/deployments/${id}` }],
    });
    await action.prepare(requestFor(id, { acknowledgeOutage: true }), newAsking());
    expect(posts()).toEqual([]);
  });

  it.each([
    [{ type: "QueueServer" }, true],
    [{ type: "NewStore", provider: "MinIO" }, true],
    [{ type: "NewStore", mode: "Coordinator" }, true],
    [{ type: "TileServer", provider: "Tiles" }, false],
    [{ type: "ImageServer", mode: "Dedicated" }, false],
    [{ type: "WebhookProcessor" }, false],
    [{ type: "SomethingNew" }, true],
    [{ type: "GraphStore" }, true],
    [{ type: "" }, true],
    [{ type: "MapServer", mode: "" }, true],
    [{ type: "MapServer", mode: "Undefined" }, true],
  ])("judges %o by what is known of it", async (fields, guarded) => {
    const base = { deploymentId: "k1", name: "one", type: "", mode: "Shared", provider: "Undefined" };
    simulator.addDeployment({ ...base, ...fields });
    const refused = await action.prepare(requestFor("k1"), newAsking()).then(
      () => false,
      () => true,
    );
    expect(refused).toBe(guarded);
  });

  it("refuses what a site in read-only mode would not do", async () => {
    simulator.isReadOnly = true;
    expect(await failureOf(action.prepare(requestFor(FEATURES), newAsking()))).toMatchObject({
      reason: "TARGET_STATE_FORBIDS",
      outcome: "not_applied",
      message:
        "site gis is in read-only mode, in which it takes no changes; refresh it when that has ended; nothing was sent",
    });
    expect(posts()).toEqual([]);
  });

  it.each([replies.forbidden("portal"), { status: 404 }, { status: 200, body: {} }])(
    "does not need a site to tell its mode: %o",
    async (answer) => {
      simulator.inject({ path: /mode\?/, answer });
      expect(await action.prepare(requestFor(FEATURES), newAsking())).toBeDefined();
    },
  );

  it("is unreachable where the mode cannot be read for now", async () => {
    simulator.inject({ path: /mode\?/, answer: { status: 502 } });
    expect(await failureOf(action.prepare(requestFor(FEATURES), newAsking()))).toMatchObject({
      reason: "VENDOR_UNREACHABLE",
    });
  });

  it("ends with its caller", async () => {
    const leaving = new AbortController();
    simulator.inject({ method: "GET", before: () => leaving.abort(new Error("left")), delayBefore: 60_000 });
    await expect(action.prepare(requestFor(FEATURES), newAsking({ signal: leaving.signal }))).rejects.toThrow("left");
  });
});

describe("observe()", () => {
  it("follows a job to its end", async () => {
    simulator.jobMs = 60_000;
    const { vendorJob = "" } = await send(requestFor(FEATURES, { async: true }));
    expect(await observe(vendorJob)).toEqual({
      kind: "running",
      progress: `job ${vendorJob} is SUBMITTED`,
      againMs: 1_234,
    });
    for (const [status, kind, endtime] of [
      ["EXECUTING", "running", 0],
      ["CANCELLING", "running", 0],
      ["executing", "running", 0],
      ["Completed", "succeeded", 1_700_000_000_000],
      ["EXECUTING", "unclear", 1_700_000_000_000],
      ["UNAVAILABLE", "unclear", 0],
      ["SOMETHING_NEW", "unclear", 0],
      ["SOMETHING_NEW", "unclear", 1_700_000_000_000],
    ]) {
      simulator.inject({ path: /jobs/, answer: (real) => ({ ...real, body: { jobid: vendorJob, status, endtime } }) });
      expect(await observe(vendorJob)).toMatchObject({ kind, progress: `job ${vendorJob} is ${status}` });
    }
  });

  it("leaves the answer as it was when an asynchronous one has succeeded", async () => {
    const { vendorJob = "" } = await send(requestFor(FEATURES, { async: true }));
    expect(await observe(vendorJob)).toEqual({
      kind: "succeeded",
      progress: `job ${vendorJob} is COMPLETED`,
      againMs: 1_234,
    });
  });

  it.each<[JobEnding, string]>([
    ["FAILED", "FAILED"],
    ["CANCELLED", "CANCELLED"],
    ["COMPLETED_WITH_ERROR", "COMPLETED"],
    ["COMPLETED_WITH_NESTED_ERROR", "COMPLETED"],
  ])("sees that a job ended with %s", async (ending, status) => {
    simulator.endWith(FEATURES, ending);
    const { vendorJob = "" } = await send(requestFor(FEATURES, { async: true }));
    expect(await observe(vendorJob)).toMatchObject({
      kind: "failed",
      failure: {
        reason: "VENDOR_JOB_FAILED",
        outcome: "applied",
        metadata: { site: "gis", vendor: "arcgis", job_id: vendorJob, job_status: status },
      },
    });
  });

  it("cannot tell without a job, nor with one that the site has forgotten", async () => {
    expect(await observe("")).toMatchObject({ kind: "unclear" });
    expect(simulator.requests).toEqual([]);
    const { vendorJob = "" } = await send(requestFor(FEATURES, { async: true }));
    simulator.forgetJobs();
    expect(await observe(vendorJob)).toMatchObject({ kind: "unclear", progress: `the site has no job ${vendorJob}` });
  });

  it("gives up a job that the site has forgotten, but only after a long time of nothing else", async () => {
    const request = requestFor(FEATURES, { async: true });
    const look = (job: string, missing: number, state: OperationView["state"] = "SENT") =>
      action.observe({ ...view(job, state), evidence: { type: "x", missing } }, request, AbortSignal.timeout(5_000));
    const { vendorJob = "" } = await send(request);
    expect(await look(vendorJob, 59)).toMatchObject({ kind: "succeeded", evidence: { type: "x" } });
    simulator.forgetJobs();
    expect(await look(vendorJob, 58)).toMatchObject({ kind: "unclear", evidence: { type: "x", missing: 59 } });
    expect(await look(vendorJob, 59, "UNKNOWN")).toMatchObject({ kind: "unclear" });
    const seen = await look(vendorJob, 59);
    expect(seen).toMatchObject({
      kind: "failed",
      failure: { reason: "JOB_NOT_FOUND", outcome: "applied", metadata: { site: "gis", job_id: vendorJob } },
    });
  });

  it("concludes nothing while the site is away", async () => {
    simulator.jobMs = 60_000;
    const request = requestFor(SYSTEM, { async: true, acknowledgeOutage: true });
    const { vendorJob = "" } = await send(request);
    expect(await failureOf(observe(vendorJob, request))).toMatchObject({ reason: "VENDOR_UNREACHABLE" });
  });
});
