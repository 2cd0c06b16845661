import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type ArcgisSimulator,
  replies,
  simulate,
  startArcgisSimulator,
} from "../../../src/targets/arcgis/simulator.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { FEATURES, SYSTEM } from "./site.ts";

const REFERER = "https://here.example.com";
let simulator: ArcgisSimulator;
let time: number;
beforeEach(async () => {
  time = 1_795_000_000_000;
  simulator = await startArcgisSimulator({ now: () => time });
});
afterEach(() => simulator[Symbol.asyncDispose]());

type Fields = Record<string, string>;
const post = (url: string, fields: Fields, headers: Fields = {}) =>
  fetch(url, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { referer: REFERER, ...headers },
    redirect: "manual",
  });
const json = async (response: Promise<Response>): Promise<unknown> => (await response).json();
const credentials = (changes: Fields = {}): Fields => ({
  username: simulator.username,
  password: simulator.password,
  client: "referer",
  referer: REFERER,
  expiration: "60",
  f: "json",
  ...changes,
});
const tokenFor = async (changes: Fields = {}): Promise<string> => {
  const { token } = (await json(post(simulator.tokenUrl, credentials(changes)))) as { token: string };
  return token;
};
const get = (path: string, query: Fields, headers: Fields = { referer: REFERER }) =>
  fetch(`${simulator.adminUrl}${path}?${new URLSearchParams(query)}`, { headers });
const refreshUrl = (id = FEATURES): string => `${simulator.adminUrl}/system/deployments/${id}/refresh`;
const unable = (detail: string) => ({ error: { code: 400, message: "Unable to generate token.", details: [detail] } });

describe("generateToken", () => {
  it("gives a token for as long as is asked for, and no longer than it may", async () => {
    const lives = (minutes: string) => json(post(simulator.tokenUrl, credentials({ expiration: minutes })));
    expect(await lives("10")).toEqual({ token: expect.any(String), expires: time + 600_000, ssl: true });
    expect(await lives("100000")).toMatchObject({ expires: time + 3_600_000 });
    expect(simulator.tokens).toHaveLength(2);
  });

  it.each<[string, Fields, unknown]>([
    ["another password", { password: "wrong" }, unable("Invalid username or password.")],
    ["another user", { username: "wrong" }, unable("Invalid username or password.")],
    ["no password", { password: "" }, unable("'username' and 'password' must be specified.")],
    ["no client", { client: "" }, unable("Invalid 'client'.")],
    ["no referer", { referer: "" }, unable("'referer' must be specified.")],
    ["no address", { client: "ip" }, unable("'ip' must be specified.")],
    ["a life that is no number", { expiration: "1h" }, unable("'expiration' must be a number of minutes.")],
  ])("refuses %s", async (_what, changes, expected) => {
    expect(await json(post(simulator.tokenUrl, credentials(changes)))).toEqual(expected);
    expect(simulator.tokens).toEqual([]);
  });

  it("wants a form in the body of a POST, and f=json", async () => {
    const query = new URLSearchParams(credentials()).toString();
    expect((await fetch(`${simulator.tokenUrl}?${query}`)).status).toBe(405);
    expect(await json(post(`${simulator.tokenUrl}?${query}`, {}))).toEqual(unable("Credentials in the query."));
    const type = { "content-type": "text/plain" };
    expect(await (await post(simulator.tokenUrl, credentials(), type)).text()).toContain("<html>");
    expect(await (await post(simulator.tokenUrl, credentials({ f: "html" }))).text()).toContain("<html>");
    expect(simulator.tokens).toEqual([]);
  });
});

describe("the Administrator API", () => {
  it("answers with pages unless it is asked for JSON", async () => {
    const token = await tokenFor();
    expect((await get("/system/deployments", { token })).headers.get("content-type")).toMatch(/^text\/html/);
    expect((await get("/system/deployments", {})).headers.get("content-type")).toMatch(/^text\/html/);
    expect((await get("/system/deployments", { token, f: "pjson" })).headers.get("content-type")).toMatch(/json/);
  });

  it("checks token and referer on every call", async () => {
    const token = await tokenFor();
    const query = { token, f: "json" };
    const codeOf = async (response: Promise<Response>) => (await json(response)) as { error?: { code: number } };
    expect(await json(get("/system/deployments", { f: "json" }))).toMatchObject({
      error: { code: 499, messageCode: "GWM_0003" },
    });
    expect((await codeOf(get("/system/deployments", query, {}))).error?.code).toBe(498);
    expect((await codeOf(get("/system/deployments", query, { referer: "https://b" }))).error?.code).toBe(498);
    expect((await codeOf(get("/system/deployments", query))).error).toBeUndefined();
    time += 3_600_000;
    expect((await codeOf(get("/system/deployments", query))).error?.code).toBe(498);
    const free = { token: await tokenFor({ client: "requestip" }), f: "json" };
    expect((await codeOf(get("/system/deployments", free, {}))).error).toBeUndefined();
    simulator.revokeTokens();
    expect((await codeOf(get("/system/deployments", free, {}))).error?.code).toBe(498);
    simulator.errorShape = "server";
    expect(await json(get("/system/deployments", free))).toEqual({
      status: "error",
      messages: ["Invalid token."],
      code: 498,
    });
  });

  it("refreshes by nothing but a POST with its token in a form", async () => {
    const token = await tokenFor();
    const query = new URLSearchParams({ token, f: "json" }).toString();
    expect(await json(post(`${refreshUrl()}?${query}`, { f: "json" }))).toMatchObject({ error: { code: 499 } });
    expect(await json(fetch(`${refreshUrl()}?${query}`, { headers: { referer: REFERER } }))).toMatchObject({
      error: { code: 405 },
    });
    const body = JSON.stringify({ token, f: "json" });
    const headers = { referer: REFERER, "content-type": "application/json" };
    await fetch(refreshUrl(), { method: "POST", body, headers });
    expect(await json(post(refreshUrl(), { token, f: "json", async: "yes" }))).toMatchObject({ error: { code: 400 } });
    expect(await json(post(refreshUrl("nope"), { token, f: "json" }))).toMatchObject({ error: { code: 404 } });
    expect((await post(refreshUrl().replace("deployments/", "deployments//"), { token, f: "json" })).status).toBe(200);
    expect(simulator.refreshes).toEqual(new Map());
    expect(await json(post(refreshUrl(), { token, f: "json" }))).toEqual({ status: "success" });
    expect(simulator.refreshes).toEqual(new Map([[FEATURES, 1]]));
  });

  it("has a job go through its states, in other letter cases than where it was submitted", async () => {
    const token = await tokenFor();
    simulator.jobMs = 60_000;
    const submitted = await json(post(refreshUrl(), { token, f: "json", async: "true" }));
    const { jobID } = submitted as { jobID: string };
    expect(submitted).toEqual({ jobsUrl: `${simulator.adminUrl}/jobs/${jobID}`, jobID, jobStatus: "SUBMITTED" });
    expect(await json(get(`/jobs/${jobID}`, { token, f: "json" }))).toEqual({
      jobid: jobID,
      status: "SUBMITTED",
      starttime: time,
      updatedtime: expect.any(Number),
      endtime: 0,
      operationURI: `/context/admin/system/deployments/${FEATURES}/refresh`,
      username: "siteadmin",
    });
    expect(await json(get("/jobs/jother", { token, f: "json" }))).toMatchObject({ error: { code: 404 } });
  });

  it.each([
    ["COMPLETED", { status: "COMPLETED", result: { status: "success" } }],
    ["FAILED", { status: "FAILED", result: { status: "error" } }],
    ["CANCELLED", { status: "CANCELLED" }],
    ["COMPLETED_WITH_ERROR", { status: "COMPLETED", result: { status: "error" } }],
    ["COMPLETED_WITH_NESTED_ERROR", { status: "COMPLETED", result: { operationResponse: { status: "error" } } }],
  ] as const)("ends a job with %s", async (ending, expected) => {
    const token = await tokenFor();
    simulator.endWith(FEATURES, ending);
    const { jobID } = (await json(post(refreshUrl(), { token, f: "json", async: "true" }))) as { jobID: string };
    expect(await json(get(`/jobs/${jobID}`, { token, f: "json" }))).toMatchObject({ ...expected, endtime: time });
    expect(await json(post(refreshUrl(), { token, f: "json" }))).toMatchObject(
      ending === "COMPLETED" ? { status: "success" } : { error: { message: "The pods did not become ready." } },
    );
  });

  it("lets nothing go on while it is held", async () => {
    const token = await tokenFor();
    simulator.jobMs = 20;
    simulator.hold();
    const order: string[] = [];
    const refreshed = post(refreshUrl(), { token, f: "json" }).then(() => order.push("refreshed"));
    while (simulator.refreshes.size === 0) await new Promise(setImmediate);
    const status = await json(get(`/system/deployments/${FEATURES}/status`, { token, f: "json" }));
    expect(status).toMatchObject({ id: FEATURES, currentState: "STARTED", readyReplicas: 0, totalReplicas: 2 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    order.push("released");
    simulator.release();
    await refreshed;
    expect(order).toEqual(["released", "refreshed"]);
  });

  it("is away itself while a System deployment restarts", async () => {
    const token = await tokenFor();
    simulator.jobMs = 60_000;
    await post(refreshUrl(SYSTEM), { token, f: "json", async: "true" });
    expect((await get("/system/deployments", { token, f: "json" })).status).toBe(503);
  });
});

describe("replies", () => {
  it("have every documented shape of an error", () => {
    expect(replies.invalidToken("portal").body).toEqual({
      error: { code: 498, message: "Invalid token.", details: [] },
    });
    expect(replies.forbiddenWithoutCode("portal").body).toEqual({
      error: { message: expect.stringContaining("do not have permissions"), details: [] },
    });
    expect(replies.tokenRequired("server").body).toMatchObject({ status: "error", code: 499 });
    expect(replies.failedWithoutCode("failed").body).toEqual({
      status: "failed",
      messages: ["The operation failed."],
    });
    expect(replies.signInRedirect.status).toBe(302);
  });
});

describe("simulate()", () => {
  it("serves the sandbox's site, with its password in a file that nobody else can read", async () => {
    await using folder = await temporaryFolder();
    await using simulation = await simulate(folder.path);
    expect(simulation.sections).toMatchObject({ arcgis: { sites: [{ name: "sandbox", username: "siteadmin" }] } });
  });
});
