import type { JsonObject } from "@bufbuild/protobuf";

/** What an operation keeps of a restart, so that whoever looks later, in whichever process, can tell what became of it. */
export interface RestartEvidence {
  /** The instance's status before the request. */
  readonly statusBefore: string;
  /** When the request was about to leave, epoch ms. */
  readonly sentAt: number;
  /** Whether the instance was seen RESTARTING since. */
  readonly restarting: boolean;
  /** The status that the last look showed; empty before the first. */
  readonly last: string;
  /** How many looks in a row have shown it. */
  readonly looks: number;
}

/** What is recorded before the request leaves. */
export const plannedEvidence = (statusBefore: string, sentAt: number): RestartEvidence => ({
  statusBefore,
  sentAt,
  restarting: false,
  last: "",
  looks: 0,
});

/** What is recorded after a look. */
export const afterLook = (before: RestartEvidence, status: string): RestartEvidence => ({
  ...before,
  restarting: before.restarting || status === "RESTARTING",
  last: status,
  looks: status === before.last ? before.looks + 1 : 1,
});

/** As it is stored. */
export const writeEvidence = ({ statusBefore, sentAt, ...rest }: RestartEvidence): JsonObject => ({
  status_before: statusBefore,
  sent_at: sentAt,
  ...rest,
});

/** Reads what was stored. Undefined without what every request that could leave has recorded. */
export function readEvidence(json: JsonObject): RestartEvidence | undefined {
  const { status_before: statusBefore, sent_at: sentAt, restarting, last, looks } = json;
  return typeof statusBefore !== "string" || typeof sentAt !== "number"
    ? undefined
    : {
        statusBefore,
        sentAt,
        restarting: restarting === true,
        last: typeof last === "string" ? last : "",
        looks: typeof looks === "number" ? looks : 0,
      };
}
