/** The calls that every client makes, and what the sandbox answers. */
import { TARGETS } from "../../src/targets/index.ts";

/** A deployment of the sandbox. */
export const workload = (name: string) => ({
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name,
});

/** A Deployment that rolls out. */
export const WEB = workload("web");

/** A Deployment that is paused: its restart is refused. */
export const CHECKOUT = workload("checkout");

/** The path of every rpc but its last segment. */
export const SERVICE = "restart.kubernetes.v1.WorkloadService";

/** What the refusal of {@link CHECKOUT} says. */
export const PAUSED = "can't restart paused deployment (run rollout resume first)";

/** The ErrorInfo of that refusal, as JSON. */
export const PAUSED_INFO = {
  reason: "PAUSED",
  domain: "restartd",
  metadata: { cluster: "sandbox", outcome: "not_applied" },
};

/** The PreconditionFailure of that refusal, as JSON. */
export const PAUSED_PRECONDITION = {
  violations: [{ type: "PAUSED", subject: "deployments.apps/shop/checkout", description: PAUSED }],
};

/** kubectl's words when {@link WEB} is done. */
export const WEB_DONE = 'deployment "web" successfully rolled out';

/** Every service that the program serves, in order. */
export const SERVICES = [
  "google.longrunning.Operations",
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  ...TARGETS.flatMap(({ services }) => services.map(({ typeName }) => typeName)),
  "restart.access.v1.AccessService",
  "restart.access.v1.FreezeService",
  "restart.operation.v1.OperationService",
  "restart.server.v1.ServerService",
].sort();

/** What health tells of: the whole server, and every service but those that every gRPC server has. */
export const HEALTHY = ["", ...SERVICES.filter((name) => !name.startsWith("grpc."))];

/** The JSON messages that a program prints one after the other, over any number of lines each. */
export function readMessages(text: string): unknown[] {
  return text
    .split(/(?<=^})\n/m)
    .filter((part) => part.trim() !== "")
    .map((part) => JSON.parse(part));
}
