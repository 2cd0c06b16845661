import { inject } from "vitest";
import { attach, type ControlPlane } from "./attach.ts";
// Declares what is injected.
import type {} from "./setup.ts";

/**
 * The control plane that the cluster project's global setup started, or undefined while it is not built: a test file then skips
 * (`describe.skipIf(cluster === undefined)`); the setup has said why.
 */
export function sharedControlPlane(): ControlPlane | undefined {
  const info = inject("controlPlane");
  return info ? attach(info) : undefined;
}
