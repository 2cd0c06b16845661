import type { JsonObject } from "@bufbuild/protobuf";
import { type Answer, NoAnswer } from "../../../clouds/http.ts";
import { abandoned } from "../../../core/abandoned.ts";
import type { Call } from "../../../core/call.ts";
import { Failure, resourceInfo, retryInfo } from "../../../core/errors.ts";
import type { PrepareContext, SendContext } from "../../../core/operation.ts";
import type { OpenCluster } from "../cluster/cluster.ts";
import { isForbidden, peekWorkload, readWorkload } from "../cluster/read.ts";
import { asCause, failureOfRead, isGuardRefusal, type RequestSubject, refusalOf, unreachable } from "../errors.ts";
import type { Kind } from "../workload/kinds.ts";
import { type Known, learn, restartedAt, unread } from "../workload/known.ts";
import {
  asWorkload,
  objectPath,
  subjectOf,
  targetName,
  type WorkloadObject,
  type WorkloadRef,
} from "../workload/object.ts";
import { endingOf } from "./ending.ts";
import { appliedEvidence, doubtOf, plannedEvidence, readEvidence } from "./evidence.ts";
import { restartPatch, restartValue } from "./patch.ts";
import { refusalByGuards, refusalByState, refusalOfTemplate, stripped, warningsOf } from "./state.ts";

/** What a restart needs beside its target. */
export interface RestartContext extends Omit<PrepareContext, "principal"> {
  readonly cluster: OpenCluster;
  readonly kind: Kind;
  readonly ref: WorkloadRef;
  readonly fieldManager: string;
  readonly now: () => Date;
  /** Six digits that make a value unique within its millisecond. */
  readonly digits: () => string;
  /** Asks for the right to send one request; for a dry run nobody has to be asked. */
  readonly permit: SendContext["permit"];
}

/** A write of which less than this (ms) is left is not begun: it could only end as unknown. */
const MINIMUM_MS = 50;

/** The API server bounds a mutating request by 34 s; more is never asked for. */
export const WRITE_LIMIT_MS = 30_000;

/** How much longer (ms) than its own bound the API server's answer is waited for. */
export const ANSWER_GRACE_MS = 5_000;

/** Bounds (ms) every read around the write, the one after an unknown outcome among them. */
const READ_LIMIT_MS = 5_000;

/** What the write is made from. */
export interface Preflight {
  readonly known: Omit<Known, "uid" | "generation"> & Partial<Pick<Known, "uid" | "generation">>;
  /** Read in this call, so that the write is held to the very object that was read. */
  readonly readNow: boolean;
  /** The object may not be read, only patched. */
  readonly blind: boolean;
}

/** A request that was sent: with its answer, unless the connection ended before that. */
interface Written {
  readonly value: string;
  /** What was recorded of it before it left. */
  readonly evidence: JsonObject;
  readonly answer: Answer | undefined;
  readonly cause: unknown;
}

/** A restart that was applied. */
export interface Applied {
  readonly value: string;
  readonly evidence: JsonObject;
}

/**
 * Checks what can be checked before the request. An object that is remembered is not read; one that is not is read, which gives precise
 * refusals; one that may not be read is held to the guards alone.
 */
export async function check(context: RestartContext): Promise<Preflight> {
  const { cluster, kind, ref, validateOnly } = context;
  // An Argo Rollout is read each time: its value is made from the API server's clock, which the answer shows.
  const usable = !validateOnly && kind.mechanism === "template annotation";
  const remembered = usable ? cluster.known.get(objectPath(ref)) : undefined;
  if (remembered !== undefined) {
    writeLimit(context);
    refuseTaken(context, await cluster.templateUser(ref));
    return { known: remembered, readNow: false, blind: false };
  }
  const [object, user] = await Promise.all([read(context, context.signal), cluster.templateUser(ref)]);
  if (object === undefined && kind.mechanism === "template annotation") {
    refuseTaken(context, user);
    return { known: unread(kind, true), readNow: false, blind: true };
  }
  // Whole seconds can only be made unique from the value in place: where reading is forbidden, a dry run has to show it.
  const seen = object ?? (await peek(context, context.signal));
  refuse(context, seen);
  refuseTaken(context, user);
  return { known: learn(kind, seen), readNow: true, blind: object === undefined };
}

/**
 * Restarts a workload by one guarded request (contracts: kubernetes §6.4). A request whose guard failed surely changed nothing: the
 * object is read again, and if nothing forbids the restart, one more request is made from that.
 *
 * The caller's signal ends this only while nothing is on its way.
 */
export async function restart(context: RestartContext, preflight: Preflight): Promise<Applied> {
  const first = await write(context, preflight);
  if (first.answer === undefined || !isGuardRefusal(first.answer)) {
    return settle(context, first, preflight);
  }
  settled(context, "not_applied");
  context.cluster.known.delete(objectPath(context.ref));
  const object = await look(context, context.signal);
  refuse(context, object);
  if (preflight.readNow && object.metadata.uid !== preflight.known.uid) {
    throw replaced(context, preflight.known.uid, object);
  }
  const again: Preflight = { known: learn(context.kind, object), readNow: true, blind: preflight.blind };
  const second = await write(context, again);
  if (second.answer !== undefined && isGuardRefusal(second.answer)) {
    settled(context, "not_applied");
    throw new Failure("CONFLICT", `${subjectOf(context.ref)} keeps changing; the restart was not applied`, {
      metadata: { cluster: context.ref.cluster },
      details: [retryInfo(1_000)],
    });
  }
  return settle(context, second, again);
}

/** How long (ms) the API server gets for the write. */
function writeLimit({ remainingMs }: RestartContext): number {
  const limitMs = Math.min(remainingMs(), WRITE_LIMIT_MS);
  if (limitMs < MINIMUM_MS) {
    throw new Failure("DEADLINE_EXCEEDED", "too little time was left to send the restart; nothing was sent");
  }
  return limitMs;
}

async function write(context: RestartContext, { known, readNow }: Preflight): Promise<Written> {
  const { cluster, kind, ref, call, signal, validateOnly } = context;
  const time = kind.mechanism === "spec.restartAt" ? new Date(cluster.clock.latest()) : context.now();
  const value = restartValue(kind.mechanism, time, known.value, context.digits());
  const evidence = plannedEvidence(kind.mechanism, value, known);
  writeLimit(context); // whatever cannot be sent any more needs no permit
  const leaving = await context.permit(evidence);
  const limitMs = writeLimit(context);
  try {
    const answer = await cluster.client.request({
      method: "PATCH",
      path: objectPath(ref),
      query: {
        fieldManager: context.fieldManager,
        fieldValidation: "Strict",
        timeout: `${Math.trunc(limitMs)}ms`,
        dryRun: validateOnly ? "All" : undefined,
      },
      headers: { "audit-id": call.id },
      contentType: "application/json-patch+json",
      body: restartPatch(kind, known, value, readNow ? known.uid : undefined),
      signal,
      onSend: () => {
        leaving();
        settled(context, "unknown");
      },
      timeoutMs: limitMs + ANSWER_GRACE_MS,
    });
    return { value, evidence, answer, cause: undefined };
  } catch (error) {
    if (!(error instanceof NoAnswer)) {
      throw error; // by whoever gave the permit: it is too late, and nothing was sent
    }
    if (error.sent) {
      return { value, evidence, answer: undefined, cause: error.cause };
    }
    throw left(signal) ?? unreachable(error, subjectOfPatch(context));
  }
}

/** Judges what came of a request that was not held back by its guards. */
async function settle(context: RestartContext, written: Written, preflight: Preflight): Promise<Applied> {
  const { answer, value } = written;
  const refusal = answer && refusalOf(answer, subjectOfPatch(context));
  if (refusal !== undefined) {
    settled(context, "not_applied");
    forget(context, refusal);
    throw refusal;
  }
  const object = answer !== undefined && answer.status < 300 ? asWorkload(answer.json) : undefined;
  if (object === undefined) {
    return settleUnknown(context, written, preflight);
  }
  if (restartedAt(context.kind, object) !== value) {
    settled(context, "not_applied");
    throw stripped(context.ref, answer?.headers.warning);
  }
  const { known } = preflight;
  if (object.metadata.uid === known.uid && (object.metadata.generation ?? 0) <= (known.generation ?? 0)) {
    throw context.validateOnly
      ? failureOfRead(answer, subjectOfPatch(context))
      : outcomeUnknown(context, value, "the API server took the value, but its generation did not move");
  }
  const serverWarning = answer?.headers.warning;
  context.call.serverWarning = serverWarning;
  context.warn(warningsOf(context.kind, object, { blind: preflight.blind, warned: serverWarning !== undefined }));
  const changed = refusalByGuards(context.kind, object, context.ref, context.validateOnly ? "not_applied" : "applied");
  if (changed !== undefined) {
    settled(context, "applied");
    context.cluster.known.delete(objectPath(context.ref));
    throw changed;
  }
  return applied(context, object, written);
}

/**
 * One bounded read decides: our value is unique, so that finding it in place proves that the request was applied. Where it is not, the
 * request was not applied if its answer ended it.
 */
async function settleUnknown(context: RestartContext, written: Written, { blind }: Preflight): Promise<Applied> {
  const { answer, value, cause } = written;
  if (context.validateOnly) {
    throw failureOfRead(answer ?? cause, subjectOfPatch(context));
  }
  context.cluster.known.delete(objectPath(context.ref));
  const reason = cause ?? (answer && asCause(answer));
  const object = await look(context, AbortSignal.timeout(READ_LIMIT_MS)).catch((error: unknown) => {
    throw outcomeUnknown(
      context,
      value,
      new AggregateError([reason, error], "neither the answer nor the read after it came"),
    );
  });
  if (restartedAt(context.kind, object) !== value) {
    const ending = answer && endingOf(answer, subjectOfPatch(context));
    if (
      ending !== undefined &&
      (ending.refused || doubtOf(context, readEvidence(written.evidence), object) === undefined)
    ) {
      settled(context, "not_applied");
      throw ending.failure;
    }
    throw outcomeUnknown(context, value, reason);
  }
  context.warn(warningsOf(context.kind, object, { blind, warned: false }));
  return applied(context, object, written);
}

function applied(context: RestartContext, object: WorkloadObject, { value, evidence }: Written): Applied {
  settled(context, "applied");
  if (!context.validateOnly) {
    context.cluster.known.set(objectPath(context.ref), learn(context.kind, object));
  }
  return { value, evidence: appliedEvidence(evidence, object) };
}

/** The object as it is now, or undefined where reading it is forbidden. */
async function read(context: RestartContext, signal: AbortSignal): Promise<WorkloadObject | undefined> {
  try {
    return await readWorkload(context.cluster, context.ref, signal, READ_LIMIT_MS);
  } catch (error) {
    if (isForbidden(error)) {
      return undefined;
    }
    throw (signal === context.signal ? left(signal) : undefined) ?? error;
  }
}

/** The object as it is now, seen in a dry run. */
async function peek(context: RestartContext, signal: AbortSignal): Promise<WorkloadObject> {
  try {
    return await peekWorkload(context.cluster, context.ref, signal, READ_LIMIT_MS);
  } catch (error) {
    throw (signal === context.signal ? left(signal) : undefined) ?? error;
  }
}

const look = async (context: RestartContext, signal: AbortSignal): Promise<WorkloadObject> =>
  (await read(context, signal)) ?? (await peek(context, signal));

function refuse({ cluster, kind, ref }: RestartContext, object: WorkloadObject): void {
  const refusal = refusalByState(kind, object, ref, cluster.clock.latest());
  if (refusal !== undefined) {
    throw refusal;
  }
}

/** Refuses a Deployment whose pod template a Rollout takes: what would begin there is an update, not a restart. */
function refuseTaken({ ref }: RestartContext, user: string | undefined): void {
  if (user !== undefined) {
    throw refusalOfTemplate(ref, user);
  }
}

/** Moves the call's outcome on. A dry run changes nothing, whatever becomes of it. */
function settled({ call, validateOnly }: RestartContext, outcome: Call["outcome"]): void {
  call.outcome = validateOnly ? "not_applied" : outcome;
}

/** After a refusal that says that something remembered is no longer so. */
function forget({ cluster, ref }: RestartContext, refusal: Failure): void {
  cluster.known.delete(objectPath(ref));
  if (refusal.reason === "API_VERSION_NOT_SERVED") {
    cluster.discovery.forget(ref.group, ref.version);
  }
}

const subjectOfPatch = ({ cluster, ref }: RestartContext): RequestSubject => ({
  cluster: ref.cluster,
  verb: "patch",
  what: subjectOf(ref),
  ref,
  as: cluster.client.as,
});

/** The failure of a call that was left, or ran out of time, while nothing of it had been sent. */
const left = (signal: AbortSignal): Failure | undefined =>
  signal.aborted ? abandoned(signal, "the restart") : undefined;

function outcomeUnknown({ ref }: RestartContext, value: string, cause: unknown): Failure {
  return new Failure(
    "OUTCOME_UNKNOWN",
    `the restart of ${subjectOf(ref)} was sent, and nothing proves whether it was applied; it is not sent again`,
    { outcome: "unknown", metadata: { cluster: ref.cluster, restarted_at: value }, cause },
  );
}

function replaced({ ref }: RestartContext, oldUid: string | undefined, object: WorkloadObject): Failure {
  const sentence = `${subjectOf(ref)} was deleted and made anew in between; the restart was not applied`;
  return new Failure("OBJECT_REPLACED", sentence, {
    metadata: { cluster: ref.cluster, old_uid: oldUid ?? "", new_uid: object.metadata.uid },
    details: [resourceInfo("kubernetes.workload", targetName(ref))],
  });
}
