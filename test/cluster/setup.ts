import type { TestProject } from "vitest/node";
import type { ControlPlane, ControlPlaneInfo } from "./attach.ts";
import { startControlPlane } from "./control-plane.ts";
import { controlPlaneModules, missingModules } from "./modules.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The control plane shared by the cluster project's test files, or null while it is not built. */
    controlPlane: ControlPlaneInfo | null;
  }
}

let shared: ControlPlane | undefined;

/**
 * Vitest's global setup of the cluster project: starts one control plane for all its test files.
 *
 * While it is not built, its tests are skipped and this says so; with `RESTARTD_TEST_CLUSTER=required` it fails instead.
 */
export async function setup(project: TestProject): Promise<void> {
  const missing = missingModules(controlPlaneModules);
  if (missing.length === 0) {
    shared = await startControlPlane();
    project.provide("controlPlane", shared.info);
    return;
  }
  const reason = `the real control plane is not built (missing: ${missing.join(", ")}); build it by: node test/cluster/build.ts`;
  if (process.env.RESTARTD_TEST_CLUSTER === "required") throw new Error(reason);
  process.stderr.write(`\n  SKIPPED: every test against a real Kubernetes API server: ${reason}\n\n`);
  project.provide("controlPlane", null);
}

/** Ends the shared control plane. */
export async function teardown(): Promise<void> {
  await shared?.[Symbol.asyncDispose]();
}
