import { globSync } from "node:fs";
import { pathToFileURL } from "node:url";
import {
  create,
  createRegistry,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { makeConfig } from "../../src/config.ts";
import { accessOf, type MethodAccess, targetsOf } from "../../src/core/access.ts";
import { noMeter } from "../../src/core/meter.ts";
import type { Action, BatchAction } from "../../src/core/operation.ts";
import { isMutating } from "../../src/core/route.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { noTracer } from "../../src/core/tracer.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { OPERATIONS_ACCESS } from "../../src/operations/rpc/visible.ts";
import { type Sandbox, startSandbox } from "../../src/sandbox/sandbox.ts";
import { permissionsOf } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";

/** Every service of ours that there is a schema of, served or not. */
const SERVICES: DescService[] = [];
for (const file of globSync("gen/restart/**/*_service_pb.ts")) {
  const module: Record<string, unknown> = await import(pathToFileURL(file).href);
  for (const value of Object.values(module)) {
    if (typeof value === "object" && value !== null && "kind" in value && value.kind === "service") {
      SERVICES.push(value as DescService);
    }
  }
}

const METHODS = SERVICES.flatMap((service) =>
  service.methods.map((method) => ({ name: `${service.typeName}/${method.name}`, method })),
);

const accessIn = (method: DescMethod): MethodAccess => {
  const access = accessOf(method);
  if (access === undefined) {
    throw new Error(
      `${method} does not say who may call it: add option (restart.options.v1.access) to it in the .proto`,
    );
  }
  return access;
};

const fieldsOf = (template: string): string[] => [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "");

describe("every rpc of ours", () => {
  it("is found", () => expect(METHODS.length).toBeGreaterThan(25));

  it.each(METHODS)("$name says in its schema who may call it", ({ method }) => {
    const { kind, permission, targets } = accessIn(method);
    const free = kind === "self" || kind === "public";
    expect(permission).toMatch(free ? /^$/ : /^[a-z]+(\.[a-z]+){1,3}$/);
    expect(targets.length > 0).toBe(!free && kind !== "loaded");
  });

  it.each(METHODS)("$name makes its targets of fields that are there", ({ method }) => {
    const { kind, targets } = accessIn(method);
    const items = method.output.fields.flatMap((field) => (field.fieldKind === "list" ? (field.message ?? []) : []));
    const [item] = items;
    if (kind === "each" && (items.length !== 1 || item === undefined)) throw new Error("an answer with one list");
    const desc: DescMessage = kind === "each" && item !== undefined ? item : method.input;
    for (const field of targets.flatMap(fieldsOf)) expect(desc.fields.map(({ name }) => name)).toContain(field);
  });

  it.each(METHODS.filter(({ method }) => isMutating(method)))(
    "$name, which changes something, asks for a right",
    ({ method }) => {
      expect(["target", "loaded"]).toContain(accessIn(method).kind);
    },
  );

  it.each(METHODS.filter(({ method }) => /Backup/.test(method.name)))(
    "$name, which shows everything, asks for a right though it changes nothing",
    ({ method }) => expect(accessIn(method)).toMatchObject({ kind: "target", targets: ["store"] }),
  );
});

describe("the permissions", () => {
  it("are these", () => {
    expect([...permissionsOf(SERVICES).catalog.keys()].sort()).toEqual(
      [
        "kubernetes.workloads.restart",
        "kubernetes.workloads.get",
        "kubernetes.workloads.list",
        "kubernetes.clusters.get",
        "arcgis.deployments.refresh",
        "arcgis.deployments.get",
        "arcgis.deployments.list",
        "arcgis.jobs.get",
        "arcgis.sites.get",
        "cse.engines.retry",
        "cse.engines.get",
        "cse.engines.list",
        "cse.jobs.get",
        "dcs.instances.restart",
        "dcs.instances.flush",
        "dcs.instances.get",
        "dcs.instances.list",
        "ddm.instances.restart",
        "ddm.instances.get",
        "ddm.instances.list",
        "huaweicloud.projects.get",
        "operations.get",
        "operations.cancel",
        "operations.delete",
        "operations.resolve",
        "store.backup",
        "freezes.create",
        "freezes.lift",
        "freezes.get",
        "freezes.override",
      ].sort(),
    );
    expect(Object.values(OPERATIONS_ACCESS).every(({ kind }) => kind === "loaded")).toBe(true);
  });
});

describe("a mutating rpc", () => {
  let sandbox: Sandbox;
  const actions: (Action | BatchAction)[] = [];
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    sandbox = stack.use(await startSandbox(TARGETS));
    const never = () => Promise.reject(new Error("nothing is run here"));
    const config = makeConfig(() => sandbox.sections, {
      validator: newValidator(createRegistry(...withDependencies([file_restart_config_v1_config]))),
      readSections: (sections, reader) => TARGETS.map((target) => target.read(sections, reader)),
      storeInMemory: true,
    });
    for (const open of config.targets) {
      const target = stack.use(
        open({
          now: () => new Date(),
          monotonic: () => performance.now(),
          random: Math.random,
          warn: () => {},
          meter: noMeter,
          tracer: noTracer,
          background: () => {},
          operations: { run: never, runAll: never },
        }),
      );
      actions.push(...target.actions);
    }
  });

  afterAll(() => stack.disposeAsync());

  /** A request whose every text is another one, with characters that names encode. */
  function sample(desc: DescMessage, group: string): Message {
    const message = create(desc);
    const reflected = reflect(desc, message);
    for (const field of desc.fields) {
      if (field.fieldKind === "list" && field.listKind === "scalar") {
        const list = reflected.get(field) as { add(value: unknown): void };
        for (const value of ["a-1", "b-2"]) list.add(value);
      } else if (
        field.fieldKind === "scalar" &&
        typeof reflected.get(field) === "string" &&
        field.name !== "request_id"
      ) {
        reflected.set(field, field.name === "group" ? group : `${field.name.replaceAll("_", "-")}.1`);
      }
    }
    return message;
  }

  it.each(["", "apps", "argoproj.io"])("is judged by the targets that its operations are about (group %j)", (group) => {
    const mutating = METHODS.filter(({ method }) => isMutating(method) && accessIn(method).kind === "target");
    expect(actions.map(({ method }) => `${method.parent.typeName}/${method.name}`).sort()).toEqual(
      mutating.map(({ name }) => name).sort(),
    );
    for (const action of actions) {
      const request = sample(action.method.input, group);
      const judged = targetsOf(accessIn(action.method), request, action.method.input);
      const acted =
        "item" in action
          ? action.itemsOf(request).map((item) => action.item.targetOf(item))
          : [action.targetOf(request)];
      expect(judged).toEqual(acted);
      expect(judged.length).toBeGreaterThan(0);
    }
  });
});

describe("targetsOf()", () => {
  const list = METHODS.find(({ method }) => method.name === "ListWorkloads")?.method;

  it.each([
    [{ cluster: "prod", namespace: "shop" }, "clusters/prod/-/-/namespaces/shop/-/-"],
    [{ cluster: "prod" }, "clusters/prod/-/-/namespaces/-/-/-"],
    [{ cluster: "prod", version: "v1", resource: "pods" }, "clusters/prod/core/v1/namespaces/-/pods/-"],
    [
      { cluster: "a/b", group: "apps", version: "v1", resource: "deployments", namespace: "shop" },
      "clusters/a%2Fb/apps/v1/namespaces/shop/deployments/-",
    ],
  ])("says of a list what it is about: %j", (request, target) => {
    if (list === undefined) throw new Error("no list");
    expect(targetsOf(accessIn(list), create(list.input, request), list.input)).toEqual([target]);
  });
});
