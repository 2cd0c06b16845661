import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArcgisSimulator, replies, startArcgisSimulator } from "../../../src/targets/arcgis/simulator.ts";
import { FEATURES } from "./site.ts";

/*
 * Esri's own client against the simulator, as far as it can be used with an Administrator API (contracts: arcgis §A.6): with a token
 * that is asked of the manager and put into the parameters. What it does not accept, the simulator has wrong.
 */
const { ArcGISIdentityManager, NODEJS_DEFAULT_REFERER_HEADER, request } = await import("@esri/arcgis-rest-request");

let simulator: ArcgisSimulator;
beforeEach(async () => {
  simulator = await startArcgisSimulator();
});
afterEach(() => simulator[Symbol.asyncDispose]());

const managerFor = (password: string) =>
  new ArcGISIdentityManager({
    username: simulator.username,
    password,
    portal: simulator.tokenUrl.replace("/generateToken", ""),
  });
const signIn = async (): Promise<string> => {
  const manager = managerFor(simulator.password);
  return manager.getToken(manager.portal);
};
const refreshUrl = (): string => `${simulator.adminUrl}/system/deployments/${FEATURES}/refresh`;
const get = (path: string, token: string) =>
  request(`${simulator.adminUrl}${path}`, { httpMethod: "GET", params: { token } });
const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );

describe("@esri/arcgis-rest-request", () => {
  it("signs in, with a referer that the simulator holds it to", async () => {
    const token = await signIn();
    expect(simulator.tokens).toEqual([token]);
    const [asked] = simulator.requests;
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toMatchObject({
      client: "referer",
      referer: NODEJS_DEFAULT_REFERER_HEADER,
      f: "json",
    });
    await get("/system/deployments", token);
    expect(simulator.requests[1]?.headers.referer).toBe(NODEJS_DEFAULT_REFERER_HEADER);
  });

  it("is told of a wrong password in its own words", async () => {
    const manager = managerFor("wrong");
    expect(await errorOf(manager.getToken(manager.portal))).toMatchObject({ name: "ArcGISTokenRequestError" });
  });

  it("reads deployments", async () => {
    const token = await signIn();
    const { deployments } = await get("/system/deployments", token);
    expect(deployments).toHaveLength(3);
    expect(await get(`/system/deployments/${FEATURES}`, token)).toMatchObject({ deploymentId: FEATURES });
    expect(await get(`/system/deployments/${FEATURES}/status`, token)).toMatchObject({ id: FEATURES });
  });

  it("refreshes, and waits", async () => {
    expect(await request(refreshUrl(), { params: { token: await signIn() } })).toEqual({ status: "success" });
    expect(simulator.refreshes.get(FEATURES)).toBe(1);
  });

  it("refreshes by a job, and reads it", async () => {
    const token = await signIn();
    const { jobID } = await request(refreshUrl(), { params: { token, async: true } });
    expect(await get(`/jobs/${jobID}`, token)).toMatchObject({ jobid: jobID, status: "COMPLETED" });
  });

  it("knows the errors that the simulator makes", async () => {
    const token = await signIn();
    simulator.revokeTokens();
    expect(await errorOf(request(refreshUrl(), { params: { token } }))).toMatchObject({
      name: "ArcGISAuthError",
      message: "498: Invalid token.",
    });
    expect(await errorOf(request(refreshUrl()))).toMatchObject({ name: "ArcGISAuthError", code: "GWM_0003" });
    simulator.inject({ answer: replies.forbidden("portal") });
    expect(await errorOf(request(refreshUrl()))).toMatchObject({ name: "ArcGISRequestError", code: 403 });
    simulator.errorShape = "server";
    expect(await errorOf(request(refreshUrl()))).toMatchObject({ name: "ArcGISRequestError", code: 499 });
    expect(simulator.refreshes.size).toBe(0);
  });

  it("takes for a success what is none: our reason not to use it", async () => {
    simulator.inject({ answer: replies.failedWithoutCode() });
    expect(await request(refreshUrl())).toMatchObject({ status: "error" });
    simulator.inject({ answer: replies.failedWithoutCode("failed") });
    expect(await errorOf(request(refreshUrl()))).toMatchObject({ name: "ArcGISRequestError" });
  });
});
