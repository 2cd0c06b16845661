import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RestartInstancesRequestSchema } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import type { HuaweiRequest, Project } from "../../../src/clouds/huawei/project.ts";
import { createPace, keepPace, takeTurn } from "../../../src/clouds/pace.ts";
import { newCall } from "../../../src/core/call.ts";
import { Failure } from "../../../src/core/errors.ts";
import { ANONYMOUS } from "../../../src/core/principal.ts";
import { createRestartAction } from "../../../src/targets/dcs/action.ts";
import { idOf, PROJECT } from "./support.ts";

const LATENCY_MS = 200;
const POLL_MS = 10_000;
const RUNS_MS = 60_000;
const AT_A_TIME = 8;

/** Whether a gateway takes a request that comes now. */
type Gate = () => boolean;

/** Five a second, in whichever way gateways count. */
const GATES: Readonly<Record<string, () => Gate>> = {
  "a bucket of five": () => bucketOf(5),
  "one each fifth of a second": () => bucketOf(1),
  "five in each second of the clock": () => {
    let window = 0;
    let count = 0;
    return () => {
      const second = Math.floor(Date.now() / 1_000);
      count = second === window ? count + 1 : 1;
      window = second;
      return count <= 5;
    };
  },
};

function bucketOf(capacity: number): Gate {
  let tokens = capacity;
  let filled = Date.now();
  return () => {
    tokens = Math.min(capacity, tokens + (Date.now() - filled) / 200);
    filled = Date.now();
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}

/** DCS behind a gateway, on the turned clock. */
function behind(gate: Gate, retryAfter: string | undefined) {
  const counted = { all: 0, refused: 0 };
  const began = new Map<string, number>();
  const pace = createPace(Date.now, (ms) => new Promise((resolve) => setTimeout(resolve, ms)));
  const reply = ({ method, path, body }: HuaweiRequest): unknown => {
    if (method === "PUT") {
      const id = String((body?.instances as string[] | undefined)?.[0]);
      expect(began.has(id), "each is sent once").toBe(false);
      began.set(id, Date.now());
      return { results: [{ instance: id, result: "success" }] };
    }
    if (path.endsWith("/configs")) return { redis_config: [{ param_name: "appendonly", param_value: "yes" }] };
    const id = path.split("/").at(-1) ?? "";
    const status = Date.now() - (began.get(id) ?? Number.NEGATIVE_INFINITY) < RUNS_MS ? "RESTARTING" : "RUNNING";
    return { instance_id: id, status, cache_mode: "ha", engine: "Redis", engine_version: "6.0" };
  };
  const project: Project = {
    projectId: PROJECT,
    turn: (limitMs, signal) => takeTurn(pace, limitMs, signal, { sentence: "too many", metadata: {} }),
    async request(request) {
      request.onSend?.();
      await pass(LATENCY_MS / 2);
      counted.all++;
      const taken = gate();
      if (!taken) counted.refused++;
      const json = taken
        ? reply(request)
        : { error_code: "APIG.0308", error_msg: "The throttling threshold is reached" };
      const headers = taken || retryAfter === undefined ? {} : { "retry-after": retryAfter };
      await pass(LATENCY_MS / 2);
      const answer = { status: taken ? 200 : 429, json, text: JSON.stringify(json), headers };
      keepPace(pace, answer);
      return answer;
    },
  };
  return { project, counted, began };
}

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Restarts instances by one call that has a minute, and looks at each until it has ended. */
async function restart(project: Project, count: number): Promise<{ sent: number; ended: number }> {
  const action = createRestartAction({
    projects: { find: () => project },
    pollIntervalMs: POLL_MS,
    now: () => new Date(),
  });
  const deadline = Date.now() + 60_000;
  const signal = new AbortController().signal;
  const asking = {
    principal: ANONYMOUS,
    signal,
    remainingMs: () => deadline - Date.now(),
    validateOnly: false,
    warn: () => {},
  };
  const instanceIds = Array.from({ length: count }, (_, at) => idOf(at));
  const request = create(RestartInstancesRequestSchema, { projectId: PROJECT, instanceIds });
  const items = action.itemsOf(request);
  const plans = await action.prepareAll(request, items, { ...asking, call: newCall("call") });
  const left = items.entries();
  const evidences = new Map<(typeof items)[number], Awaited<ReturnType<typeof action.item.send>>["evidence"]>();
  const worker = async () => {
    for (const [at, item] of left) {
      const plan = plans[at];
      if (plan === undefined || plan instanceof Failure) throw plan ?? new Error("no plan");
      const sending = { ...asking, call: newCall(""), operation: `operations/${at}`, permit: async () => () => {} };
      evidences.set(item, (await action.item.send(item, plan, sending)).evidence);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  expect(Date.now()).toBeLessThan(deadline);
  const follow = async (item: (typeof items)[number], evidence = evidences.get(item)): Promise<boolean> => {
    await pass(POLL_MS);
    const view = { name: "operations/1", target: "t", state: "SENT" as const, evidence: evidence ?? {}, vendorJob: "" };
    const look = await action.item.observe(view, item, signal);
    return look.kind === "running" ? follow(item, look.evidence ?? evidence) : look.kind === "succeeded";
  };
  const ends = await Promise.all([...evidences.keys()].map((item) => follow(item)));
  return { sent: evidences.size, ended: ends.filter(Boolean).length };
}

describe("a gateway that takes five requests a second", () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
  afterEach(() => void vi.useRealTimers());

  const rows = Object.keys(GATES).flatMap((gate) =>
    [undefined, "1"].flatMap((after) => [30, 40].map((count) => ({ gate, after, count }))),
  );
  it.each(rows)("is seldom asked too much: $gate, Retry-After $after, $count instances", async (row) => {
    const { project, counted, began } = behind(GATES[row.gate]?.() ?? (() => true), row.after);
    const restarted = restart(project, row.count);
    const done = restarted.then(
      () => true,
      () => true,
    );
    for (let isDone = false; !isDone; ) {
      await vi.advanceTimersByTimeAsync(100);
      isDone = await Promise.race([done, Promise.resolve(false)]);
    }
    expect(await restarted).toEqual({ sent: row.count, ended: row.count });
    expect(began.size).toBe(row.count);
    expect(counted.all).toBeGreaterThan(5 * row.count);
    expect(counted.refused / counted.all).toBeLessThan(0.08);
  });

  it("counts what nobody paces", async () => {
    const { project, counted } = behind(bucketOf(5), undefined);
    const impatient = { ...project, turn: async () => {} };
    const signal = new AbortController().signal;
    const reads = Array.from({ length: 40 }, () => impatient.request({ method: "GET", path: "/a", signal }));
    await vi.advanceTimersByTimeAsync(LATENCY_MS);
    await Promise.all(reads);
    expect(counted).toEqual({ all: 40, refused: 35 });
  });
});
