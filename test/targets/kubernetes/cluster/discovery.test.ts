import { describe, expect, it } from "vitest";
import type { Answer } from "../../../../src/clouds/http.ts";
import type { Client } from "../../../../src/targets/kubernetes/client.ts";
import { createDiscovery, DISCOVERY_TTL_MS, recognize } from "../../../../src/targets/kubernetes/cluster/discovery.ts";

const ref = { cluster: "c", group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };
const entry = {
  name: "deployments",
  singularName: "deployment",
  kind: "Deployment",
  namespaced: true,
  verbs: ["patch"],
};

const list = (...names: string[]): Answer => ({
  status: 200,
  json: { resources: names.map((name) => ({ ...entry, name })) },
  text: "",
  headers: {},
});
const notFound: Answer = { status: 404, json: undefined, text: "404 page not found", headers: {} };

/** Discovery over scripted answers, the last of which repeats, on a clock of its own. */
function scripted(...answers: Answer[]) {
  const paths: string[] = [];
  let now = 0;
  const client = {
    async request({ path }) {
      paths.push(path);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer === undefined) {
        throw new Error("no answer is left");
      }
      return answer;
    },
    watch: () => Promise.reject(new Error("not watched")),
    [Symbol.asyncDispose]: async () => {},
  } satisfies Client;
  const discovery = createDiscovery("c", client, () => now);
  const pass = (ms: number) => {
    now += ms;
  };
  return { discovery, paths, pass };
}

describe("createDiscovery()", () => {
  it("asks once for all who ask at the same time, and again when the answer is old", async () => {
    const { discovery, paths, pass } = scripted(list("deployments"));
    await Promise.all([1, 2, 3].map(() => discovery.resources("apps", "v1")));
    pass(DISCOVERY_TTL_MS - 1);
    await discovery.resources("apps", "v1");
    expect(paths).toEqual(["/apis/apps/v1"]);
    pass(1);
    await discovery.resources("apps", "v1");
    expect(paths).toHaveLength(2);
  });

  it("keeps groups and versions apart, and the core group at its own path", async () => {
    const { discovery, paths } = scripted(list("pods"));
    await discovery.resources("", "v1");
    await discovery.resources("apps", "v1");
    await discovery.resources("apps", "v2");
    expect(paths).toEqual(["/api/v1", "/apis/apps/v1", "/apis/apps/v2"]);
  });

  it("asks again after it was told to forget, and after a failure", async () => {
    const broken: Answer = { status: 500, json: undefined, text: "", headers: {} };
    const { discovery, paths } = scripted(list("deployments"), broken, list("deployments"));
    await discovery.resources("apps", "v1");
    discovery.forget("apps", "v1");
    await expect(discovery.resources("apps", "v1")).rejects.toMatchObject({ reason: "VENDOR_INTERNAL_ERROR" });
    await discovery.resources("apps", "v1");
    expect(paths).toHaveLength(3);
  });

  it("leaves subresources out", async () => {
    const { discovery } = scripted(list("deployments", "deployments/scale", "deployments/status"));
    expect((await discovery.resources("apps", "v1"))?.map(({ name }) => name)).toEqual(["deployments"]);
  });

  it("takes an answer that is no list for a failure", async () => {
    const { discovery } = scripted({ status: 200, json: { kind: "Status" }, text: "", headers: {} });
    await expect(discovery.resources("apps", "v1")).rejects.toMatchObject({ reason: "VENDOR_BAD_RESPONSE" });
  });
});

describe("recognize()", () => {
  it("looks again for what is missing, at most once a second", async () => {
    const { discovery, paths, pass } = scripted(list("others"), list("deployments"));
    await expect(recognize(discovery, ref)).rejects.toMatchObject({ reason: "RESOURCE_NOT_RECOGNIZED" });
    await expect(recognize(discovery, ref)).rejects.toMatchObject({ reason: "RESOURCE_NOT_RECOGNIZED" });
    expect(paths).toHaveLength(1);
    pass(1_000);
    expect((await recognize(discovery, ref)).name).toBe("deployments");
    expect(paths).toHaveLength(2);
  });

  it("finds a version that the cluster begins to serve", async () => {
    const { discovery, pass } = scripted(notFound, list("deployments"));
    await expect(recognize(discovery, ref)).rejects.toMatchObject({ reason: "API_VERSION_NOT_SERVED" });
    pass(1_000);
    expect((await recognize(discovery, ref)).name).toBe("deployments");
  });
});
