import type { Answer } from "../../clouds/http.ts";
import { refusal as refusalBy, vendorErrorOf } from "../../clouds/huawei/errors.ts";
import type { CodeRule, CodeTable, RequestSubject } from "../../clouds/huawei/rules.ts";
import { vendorFailure } from "../../clouds/vendor.ts";
import { Failure, help, resourceInfo } from "../../core/errors.ts";

/** Type of an instance in ResourceInfo. */
export const INSTANCE_TYPE = "dcs/instances";

/** Resource name of an instance. */
export const targetName = (projectId: string, instanceId: string): string =>
  `projects/${encodeURIComponent(projectId)}/dcs/instances/${encodeURIComponent(instanceId)}`;

/** What a request about one instance is about. */
export const askedAbout = (projectId: string, instanceId: string, changes: boolean): RequestSubject => ({
  service: "dcs",
  projectId,
  what: `instance ${instanceId}`,
  target: targetName(projectId, instanceId),
  changes,
});

/** What a request about all instances of a project is about. */
export const askedAboutAll = (projectId: string): RequestSubject => ({
  service: "dcs",
  projectId,
  what: "the list of instances",
  target: `projects/${encodeURIComponent(projectId)}/dcs/instances`,
  changes: false,
});

/** The vendor's page about what is sent, where it says what can be flushed. */
const ACTIONS_PAGE = "https://support.huaweicloud.com/intl/en-us/api-dcs/RestartOrFlushInstances.html";

/** Help for what an instance cannot do. */
export const ACTIONS_HELP = help(
  "Which instances can be restarted and flushed; another one is cleared by its own FLUSHALL command",
  ACTIONS_PAGE,
);

/** A line of the table. */
interface DcsRule extends CodeRule {
  /** What the instance is busy with, for metadata `state`. */
  readonly state?: string;
}

/** Both ways to say a code of the family 4xyz: DCS.4xyz, and the older 111400xyz (contracts/huaweicloud.md B.3). */
const both = (...codes: readonly string[]): string[] => codes.flatMap((code) => [`DCS.4${code}`, `111400${code}`]);

const busy = (codes: readonly string[], state: string): DcsRule => ({
  codes,
  state,
  reason: "OPERATION_IN_PROGRESS",
  says: `is busy (${state}): wait until that has ended`,
});

const denied = (codes: readonly string[], why: string): DcsRule => ({
  codes,
  reason: "VENDOR_PERMISSION_DENIED",
  // B.1: one permission for restart and flush
  says: ({ what, changes }) =>
    `${why}: ${what} needs ${changes ? "dcs:instance:modifyStatus" : "dcs:instance:get and dcs:instance:list"}`,
});

const rejected = (codes: readonly string[], why: string): DcsRule => ({
  codes,
  reason: "VENDOR_CREDENTIALS_REJECTED",
  says: () => `DCS does not accept restartd's own credentials: ${why}`,
});

/**
 * The codes of DCS. State conflicts are HTTP 400 here, and one is a 500: the code decides (contracts/huaweicloud.md B.3, vendors.md §F).
 * Where a line has no source, it is that table; "tf": the vendor's Terraform provider alone lists the code.
 */
const CODES: readonly DcsRule[] = [
  {
    codes: both("002", "004", "005", "061", "062", "063", "064", "065", "100"), // HTTP 400
    reason: "VENDOR_REFUSED_REQUEST",
    says: "was not touched: DCS refused the request as wrong",
  },
  { codes: ["DCS.3022", "111404022"], reason: "TARGET_NOT_FOUND", says: "does not exist" }, // 404; B.1 for the older one
  busy(both("017"), "a job is running"), // 400
  busy(both("096"), "backing up"), // 400
  busy(both("097"), "restoring"), // 400
  busy(both("104"), "recovering from an internal fault"), // 400, "retry later"
  busy(both("108"), "a scale-up order"), // 400
  busy(both("111"), "restarting"), // 400
  busy(both("113"), "extending"), // 400
  busy(both("114"), "configuring"), // 400
  busy(both("115"), "changing its password"), // 400
  busy(both("116"), "upgrading"), // 400
  busy(both("117"), "rolling back"), // 400
  busy(both("118"), "creating"), // 400
  busy(both("121"), "resetting its password"), // 400, tf
  busy(both("231"), "analysing its keys"), // 400, tf
  busy(both("975"), "creating or restarting"), // 400, tf
  busy([...both("069"), "111500069"], "somebody is modifying its configuration"), // 500: a conflict all the same
  busy(["CBC.99003651"], "an order at the billing side"), // 400, tf
  {
    codes: both("026", "120"), // 400; 4120 is freezing: its owner has to act
    reason: "TARGET_STATE_FORBIDS",
    says: "is in a state that does not allow this",
  },
  { codes: both("049"), reason: "TARGET_STATE_FORBIDS", says: "is not running" }, // 400
  {
    codes: both("027", "086"), // 400
    reason: "OPERATION_UNSUPPORTED_BY_TARGET",
    says: "is of a type or version that cannot do this",
  },
  denied(["DCS.2003", "DCS.3003", "111403003"], "the role of restartd's own user lacks the permission"), // 403
  denied(["DCS.2007", "111403007"], "a policy denies it to restartd's own user"), // 403
  denied(["DCS.3002", "111403002"], "restartd's own account is read-only"), // 403
  rejected(["DCS.1001", "111401001"], "the token is invalid"), // 401
  rejected(["DCS.1002", "111401002"], "the token has expired"), // 401
  rejected(["DCS.1003", "111401003"], "there is no token; the endpoint may be another service's"), // 401
  rejected(["DCS.1004", "111401004"], "the project id does not match the token"), // 401
  {
    codes: ["DCS.4001", "111404001"], // 404, URL not found
    reason: "API_VERSION_NOT_SERVED",
    says: ({ service }) => `its address of ${service} does not serve version 2 of the API; check endpoints.${service}`,
  },
  {
    codes: ["DCS.5001", "111405001"], // 405
    reason: "VENDOR_REFUSED_REQUEST",
    says: "was not touched: DCS does not know the request's method",
  },
  {
    // 500. None of them proves that nothing was begun: 5006 is said of a job that could not be submitted, 5095 of a script that failed.
    codes: ["000", "006", "010", "017", "024", "044", "091", "095"].flatMap((code) => [
      `DCS.5${code}`,
      `111500${code}`,
    ]),
    reason: "VENDOR_INTERNAL_ERROR",
    says: "could not be asked about: DCS has a fault of its own",
  },
];

/** The table of {@link refusal}. */
export const DCS_CODES: CodeTable = CODES;

/** The failure that an answer without a result stands for. */
export function refusal(answer: Answer, subject: RequestSubject): Failure {
  const failure = refusalBy(answer, subject, DCS_CODES);
  const rule = CODES.find(({ codes }) => codes.includes(failure.metadata.vendor_code ?? ""));
  const state = failure.reason === rule?.reason ? rule.state : undefined;
  const unsupported = failure.reason === "OPERATION_UNSUPPORTED_BY_TARGET";
  return state === undefined && !unsupported
    ? failure
    : new Failure(failure.reason, failure.message, {
        outcome: failure.outcome,
        metadata: { ...failure.metadata, ...(state !== undefined && { state }) },
        details: unsupported ? [...failure.details, ACTIONS_HELP] : failure.details,
        cause: failure.cause,
      });
}

/** The vendor says `failed` of an instance, and not why (contracts/huaweicloud.md B.1). */
export function reportedFailed(answer: Answer, subject: RequestSubject): Failure {
  const sentence = `project ${subject.projectId}: DCS says that ${subject.what} failed, and does not say why; its state in the console may`;
  return vendorFailure("VENDOR_REPORTED_FAILED", sentence, vendorErrorOf(answer, "dcs"), {
    metadata: { project: subject.projectId },
    details: [resourceInfo(INSTANCE_TYPE, subject.target)],
  });
}
