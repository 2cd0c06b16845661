import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request as send } from "undici";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { replies, StatusError } from "../../../../src/targets/kubernetes/simulator.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { jsonPatch, mergePatch, refusedPatch, startShop, web } from "./support.ts";

let backend: SimulatorBackend;
beforeEach(async () => {
  backend = await startShop();
});
afterEach(() => backend[Symbol.asyncDispose]());

const note = { metadata: { annotations: { note: "x" } } };
const patch = () => mergePatch(backend, web, note);
const stored = () => backend.simulator.get("apps", "deployments", "shop", "web");
const applied = () => JSON.stringify(stored()?.metadata.annotations).includes('"note":"x"');

describe("ready answers", () => {
  it.each([
    ["tooManyRequests", replies.tooManyRequests(3), 429, "Too many requests, please try again later.\n"],
    ["shuttingDown", replies.shuttingDown(), 429, "The apiserver is shutting down, please try again later.\n"],
    ["aggregatedDown", replies.aggregatedDown(), 503, "service unavailable\n"],
  ])("%s comes as text, instead of executing", async (_name, answer, status, body) => {
    backend.simulator.inject({ method: "PATCH", answer });
    const refused = await patch();
    expect([refused.status, refused.body]).toEqual([status, body]);
    expect(refused.headers["retry-after"]).toBe(answer.headers["retry-after"]);
    expect(applied()).toBe(false);
    expect((await patch()).status).toBe(200);
  });

  it.each([
    [
      replies.startingUp(),
      "ServiceUnavailable",
      "the request has been made before all known HTTP paths have been installed, please try again",
    ],
    [replies.etcdTimeout(), undefined, "etcdserver: request timed out"],
    [
      replies.serverTimeout(),
      "ServerTimeout",
      "The update operation against deployments.apps could not be completed at this time, please try again.",
    ],
    [
      replies.requestTimeout(),
      "Timeout",
      "Timeout: request did not complete within requested timeout - context deadline exceeded",
    ],
    [replies.webhookDenial("no"), undefined, 'admission webhook "v.example.com" denied the request: no'],
    [
      replies.webhookDenial("no", { code: 403 }),
      "Forbidden",
      'admission webhook "v.example.com" denied the request: no',
    ],
    [
      replies.policyDenial("web", "no"),
      "Invalid",
      "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
    ],
    [
      replies.webhookUnreachable(),
      "InternalError",
      'Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://svc.ns.svc:443/validate?timeout=10s": context deadline exceeded',
    ],
  ])("%# is a Status", (reply, reason, message) => {
    const body = JSON.parse(reply.body);
    expect(body).toMatchObject({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      code: reply.status,
    });
    expect(body.reason).toBe(reason);
  });

  it("can come after executing, broken or foreign", async () => {
    backend.simulator.inject({ method: "PATCH", answer: replies.proxyPage(), execute: true });
    const page = await patch();
    expect([page.status, page.headers["content-type"], applied()]).toEqual([502, "text/html", true]);
    backend.simulator.inject({ method: "PATCH", answer: (real) => ({ ...real, body: real.body.slice(0, 40) }) });
    const broken = await patch();
    expect([broken.status, broken.body.length]).toEqual([200, 40]);
    backend.simulator.inject({ answer: replies.redirect("http://127.0.0.1:1/elsewhere") });
    expect((await patch()).headers.location).toBe("http://127.0.0.1:1/elsewhere");
  });
});

describe("matching", () => {
  it("hits only what it names, as often as it says", async () => {
    const fault = backend.simulator.inject({
      method: "PATCH",
      path: /deployments\/web/,
      user: "patcher",
      times: 2,
      answer: replies.etcdTimeout(),
    });
    expect((await patch()).status).toBe(200);
    const statuses = [];
    for (let at = 0; at < 3; at += 1) statuses.push((await mergePatch(backend, web, note, "patcher")).status);
    expect(statuses).toEqual([500, 500, 200]);
    expect(fault.hits).toBe(2);
  });

  it("can be taken away", async () => {
    backend.simulator.inject({ times: Number.POSITIVE_INFINITY, answer: replies.etcdTimeout() }).remove();
    expect((await patch()).status).toBe(200);
  });
});

describe("connections", () => {
  it.each([
    ["before-reading", false],
    ["before-executing", false],
    ["after-executing", true],
    ["while-answering", true],
  ] as const)("are reset %s", async (disconnect, expected) => {
    backend.simulator.inject({ method: "PATCH", disconnect });
    await expect(patch()).rejects.toThrow();
    expect(applied()).toBe(expected);
  });

  it("are closed politely, too", async () => {
    backend.simulator.inject({ method: "PATCH", disconnect: "after-executing", way: "close" });
    await expect(patch()).rejects.toThrow("other side closed");
    expect(applied()).toBe(true);
  });

  it("can all be reset from outside, and the server can be away", async () => {
    await patch();
    await backend.simulator.stop();
    await expect(patch()).rejects.toThrow("ECONNREFUSED");
    await backend.simulator.start();
    expect((await patch()).status).toBe(200);
  });
});

describe("delays", () => {
  it("answer 504 after the timeout parameter, and execute all the same", async () => {
    backend.simulator.inject({ method: "PATCH", delayBefore: 1_500 });
    const answer = await mergePatch(backend, `${web}?timeout=20ms`, note);
    expect(answer.status).toBe(504);
    expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(answer.json().message).toBe("Timeout: request did not complete within the allotted timeout");
    expect(applied()).toBe(false);
    await expect.poll(applied).toBe(true);
  });

  it("know what a duration is", async () => {
    const answer = await mergePatch(backend, `${web}?timeout=abc`, note);
    expect(answer.json()).toMatchObject({
      code: 400,
      message: 'invalid timeout specified in the request URL - time: invalid duration "abc"',
    });
  });
});

describe("races", () => {
  it("pauses the object before the request is executed", async () => {
    backend.simulator.inject({
      method: "PATCH",
      before: () => {
        backend.simulator.edit("apps", "deployments", "shop", "web", (object) => {
          object.spec = { ...Object(object.spec), paused: true };
        });
      },
    });
    const answer = await jsonPatch(backend, [{ op: "test", path: "/spec/paused", value: null }]);
    expect(answer.json()).toEqual(refusedPatch);
  });

  it("replaces the object by another of the same name", async () => {
    const uid = stored()?.metadata.uid;
    backend.simulator.inject({
      method: "PATCH",
      before: () => void backend.simulator.recreate("apps", "deployments", "shop", "web"),
    });
    expect((await jsonPatch(backend, [{ op: "test", path: "/metadata/uid", value: uid }])).json()).toEqual(
      refusedPatch,
    );
    expect(stored()?.metadata.uid).not.toBe(uid);
  });

  it("names a callback that fails", async () => {
    backend.simulator.inject({
      before: () => {
        throw new TypeError("oops");
      },
    });
    const answer = await patch();
    expect(answer.status).toBe(500);
    expect(answer.json().message).toContain("TypeError: oops");
  });
});

describe("admission", () => {
  it("strips an annotation as a mutating webhook would", async () => {
    backend.simulator.inject({
      method: "PATCH",
      headers: { warning: '299 - "stripped"' },
      admit: (object) => {
        const { note: _note, ...annotations } = Object(object.metadata.annotations);
        return { ...object, metadata: { ...object.metadata, annotations } };
      },
    });
    const answer = await patch();
    expect([answer.status, answer.headers.warning]).toEqual([200, '299 - "stripped"']);
    expect(answer.json().metadata.annotations).not.toHaveProperty("note");
  });

  it("denies", async () => {
    backend.simulator.inject({
      admit: () => {
        throw new StatusError(403, "Forbidden", "no");
      },
    });
    expect((await patch()).json()).toMatchObject({ code: 403, message: "no" });
    expect(applied()).toBe(false);
  });
});

describe("requests", () => {
  it("records what came", async () => {
    backend.simulator.clearRequests();
    await mergePatch(backend, `${web}?fieldManager=me`, note, "patcher");
    expect(backend.simulator.requests).toMatchObject([
      {
        method: "PATCH",
        path: `${web}?fieldManager=me`,
        user: "patcher",
        httpVersion: "1.1",
        body: JSON.stringify(note),
        status: 200,
      },
    ]);
  });
});

describe("TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "restartd-tls-"));
  const path = (name: string) => join(folder, name);
  const certificate = () => {
    const subject = ["-subj", "/CN=simulator", "-addext", "subjectAltName=IP:127.0.0.1"];
    const files = ["-keyout", path("key"), "-out", path("cert"), "-days", "2", "-nodes"];
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", ...files, ...subject],
      { stdio: "ignore" },
    );
    const tls = { key: readFileSync(path("key"), "utf8"), cert: readFileSync(path("cert"), "utf8") };
    rmSync(folder, { recursive: true });
    return tls;
  };

  it("speaks HTTP/2 and HTTP/1.1, and breaks streams and sessions", async () => {
    const tls = certificate();
    await using secure = await startSimulatorBackend({ tls });
    const node = "/api/v1/nodes/node-1";
    expect((await secure.request("GET", node)).status).toBe(200);
    const agent = new Agent({ allowH2: true, connect: { ca: tls.cert } });
    onTestFinished(() => agent.destroy());
    const get = async () => {
      const headers = { authorization: `Bearer ${secure.simulator.token("admin")}` };
      const answer = await send(secure.url + node, { dispatcher: agent, headers });
      return { status: answer.statusCode, body: await answer.body.text() };
    };
    expect((await get()).status).toBe(200);
    expect(secure.simulator.requests.map(({ httpVersion }) => httpVersion)).toEqual(["1.1", "2.0"]);
    for (const way of ["stream", "goaway", "reset", "close"] as const) {
      secure.simulator.inject({ disconnect: "before-executing", way, times: 5 });
      await expect(get(), way).rejects.toThrow();
      secure.simulator.clearFaults();
      expect((await get()).status, way).toBe(200);
    }
  });
});
