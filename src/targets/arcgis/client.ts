import type { CountingRuntime } from "../../clouds/counted.ts";
import type { Answer } from "../../clouds/http.ts";
import type { Reason } from "../../core/errors.ts";
import type { Runtime } from "../../core/target.ts";
import {
  type Refreshed,
  readDeployment,
  readDeployments,
  readJob,
  readRefreshed,
  readStatus,
  type VendorDeployment,
  type VendorJob,
  type VendorStatus,
} from "./answers.ts";
import type { SiteSettings } from "./config.ts";
import { failureOf, type RequestSubject, unreadable } from "./errors.ts";
import { askedOf, openSession, type SendHooks } from "./session.ts";
import { isObject } from "./values.ts";

/**
 * The Administrator API of one site, in its words. Everything rejects with a Failure, or, as long as nothing has changed, with its
 * signal's reason.
 */
export interface Site extends AsyncDisposable {
  readonly name: string;
  /** Root of its Administrator API. */
  readonly adminUrl: string;
  /** Every deployment that there is. */
  listDeployments(signal: AbortSignal): Promise<readonly VendorDeployment[]>;
  /** What a deployment is: TARGET_NOT_FOUND where there is none. */
  getDeployment(id: string, signal: AbortSignal): Promise<VendorDeployment>;
  /** How a deployment does. */
  getStatus(id: string, signal: AbortSignal): Promise<VendorStatus>;
  /** Whether the site takes no changes for now; undefined where it does not say. */
  isReadOnly(signal: AbortSignal): Promise<boolean | undefined>;
  /** Waits for a turn to look, where the site has said that it is asked too often: THROTTLED where that is too far away. */
  turn(signal: AbortSignal): Promise<void>;
  /** How far a job has come: JOB_NOT_FOUND where there is none. */
  getJob(id: string, signal: AbortSignal): Promise<VendorJob>;
  /**
   * Restarts a deployment's pods, as a job wherever the site makes one: what stands between may end a call that takes long. `async` says
   * that the caller asked for a job; who did not is content with the end as well.
   */
  refresh(id: string, async: boolean, hooks: SendHooks): Promise<Refreshed>;
}

/** `sites/{site}/deployments/{id}`. */
export const deploymentName = (site: string, id: string): string => resourceName(site, "deployments", id);

const resourceName = (site: string, kind: "deployments" | "jobs", id: string): string =>
  ["sites", site, kind, id].map(encodeURIComponent).join("/");

/** Opens a site. Nothing is connected before the first call. */
export function openSite(settings: SiteSettings, runtime: Pick<Runtime, "now"> & CountingRuntime): Site {
  const { name: site, adminUrl } = settings;
  const session = openSession(settings, runtime);
  const pathOf = (id: string): string => `system/deployments/${encodeURIComponent(id)}`;
  const deployment = (id: string): RequestSubject => ({
    site,
    what: `deployment ${id}`,
    changes: false,
    resource: { type: "arcgis.deployment", name: deploymentName(site, id), missing: "TARGET_NOT_FOUND" },
  });
  const job = (id: string): RequestSubject => ({
    site,
    what: `job ${id}`,
    changes: false,
    resource: { type: "arcgis.job", name: resourceName(site, "jobs", id), missing: "JOB_NOT_FOUND" },
  });
  return {
    name: site,
    adminUrl,
    async listDeployments(signal) {
      const subject = askedOf(site, "the deployments");
      return understood(await session.get("list", "system/deployments", subject, signal), subject, readDeployments);
    },
    async getDeployment(id, signal) {
      const subject = deployment(id);
      return understood(await session.get("get", pathOf(id), subject, signal), subject, (body) => {
        const found = readDeployment(body);
        return found?.deploymentId === id ? found : undefined;
      });
    },
    async getStatus(id, signal) {
      const subject = deployment(id);
      const answer = await session.get("status", `${pathOf(id)}/status`, subject, signal);
      return understood(answer, subject, (body) => readStatus(body, id));
    },
    async isReadOnly(signal) {
      const subject = askedOf(site, "its mode");
      const answer = await session.get("mode", "mode", subject, signal);
      const failure = failureOf(answer, subject);
      if (failure !== undefined && !SILENT.has(failure.reason)) throw failure;
      const { isReadOnly } = isObject(answer.json) ? answer.json : {};
      return typeof isReadOnly === "boolean" ? isReadOnly : undefined;
    },
    turn: session.turn,
    async getJob(id, signal) {
      const subject = job(id);
      const answer = await session.get("job", `jobs/${encodeURIComponent(id)}`, subject, signal);
      return understood(answer, subject, (body) => readJob(body, id));
    },
    async refresh(id, async, hooks) {
      const subject = { ...deployment(id), changes: true, runs: !async };
      const send = (form: Readonly<Record<string, string>>) =>
        session.post(`${pathOf(id)}/refresh`, form, subject, hooks);
      const answer = await send({ async: "true" });
      if (async || !refusesAsync(answer, subject)) return understood(answer, subject, readRefreshed);
      hooks.refused();
      return understood(await send({}), subject, readRefreshed);
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

/** Whether a site refused a request as wrong for the word `async`, which its first version did not have: it has done nothing then. */
const refusesAsync = (answer: Answer, subject: RequestSubject): boolean =>
  failureOf(answer, subject)?.reason === "VENDOR_REFUSED_REQUEST" && /\basync\b/i.test(answer.text);

/** Why a site may not tell its mode to a user who may refresh all the same. */
const SILENT: ReadonlySet<Reason> = new Set<Reason>([
  "VENDOR_BAD_RESPONSE",
  "VENDOR_PERMISSION_DENIED",
  "VENDOR_REFUSED_REQUEST",
  "VENDOR_REPORTED_FAILED",
]);

/** What a success says. One without its expected keys is none (contracts: arcgis §A.5). */
function understood<Value>(
  answer: Answer,
  subject: RequestSubject,
  read: (body: Readonly<Record<string, unknown>>) => Value | undefined,
): Value {
  const failure = failureOf(answer, subject);
  if (failure !== undefined) throw failure;
  const value = isObject(answer.json) ? read(answer.json) : undefined;
  if (value === undefined) throw unreadable(answer, subject);
  return value;
}
