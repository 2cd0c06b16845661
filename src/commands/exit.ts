import { Code } from "@connectrpc/connect";

/** The closed list of exit codes. Scripts hold on to them: `restartd help exit-codes` says the same. */
export const EXIT = {
  DONE: 0,
  REFUSED: 1,
  MISTAKE: 2,
  WENT_WRONG: 3,
  NOT_ALLOWED: 4,
  UNKNOWN: 5,
  UNREACHABLE: 6,
  BUSY: 7,
  DECLINED: 8,
  TIMED_OUT: 124,
  INTERRUPTED: 130,
  TERMINATED: 143,
} as const;

/** What `restartd help exit-codes` prints. */
export const EXIT_HELP = `Exit codes:

  0    done: without --wait it was applied, with --wait it ended well; a dry run would be accepted; a list may be empty
  1    refused or failed, and nothing was changed; a read that failed
  2    the command line or the client's file is wrong: nothing was sent
  3    applied, and then it went wrong
  4    not logged in, or not allowed, by restartd: nothing was changed
  5    unknown: nobody can tell whether it was applied, or no answer came even after asking again under the same request id
  6    restartd cannot be reached: nothing was sent
  7    busy: nothing was changed, and the same call may be made again
  8    declined at a question: nothing was changed
  124  --timeout passed while waiting: it goes on, and its operation is named
  130  interrupted (SIGINT) while waiting: it goes on, and its operation is named
  143  terminated (SIGTERM) while waiting: it goes on, and its operation is named

With several targets each is tried, and the worst code wins, in the order 5, 3, 124, 7, 4, 6, 1, 8.
Examples:
  restartd restart deployment/web --wait --timeout 5m || echo "code $?"
  restartd restart deployment/web; [ $? -eq 7 ] && sleep 30 && restartd restart deployment/web
`;

/** From the worst on. Interrupted comes before all: it says that the rest was not tried. */
const WORST: readonly number[] = [
  EXIT.INTERRUPTED,
  EXIT.TERMINATED,
  EXIT.MISTAKE,
  EXIT.UNKNOWN,
  EXIT.WENT_WRONG,
  EXIT.TIMED_OUT,
  EXIT.BUSY,
  EXIT.NOT_ALLOWED,
  EXIT.UNREACHABLE,
  EXIT.REFUSED,
  EXIT.DECLINED,
];

/** One code for several targets. */
export const worstOf = (codes: readonly number[]): number => WORST.find((code) => codes.includes(code)) ?? EXIT.DONE;

const BUSY =
  /^(OPERATION_IN_PROGRESS|THROTTLED|RATE_LIMITED|QUEUE_FULL|CONFLICT|\w+_UNREACHABLE|STORE_UNAVAILABLE|SHUTTING_DOWN)$/;

/** Whether a reason says that the same call may be made again. */
export const isBusy = (reason: string): boolean => BUSY.test(reason);

/** Reasons that come after something was applied. */
const AFTERWARDS = /^(PROGRESS_DEADLINE_EXCEEDED|ROLLOUT_SUPERSEDED|OBJECT_REPLACED|VENDOR_JOB_FAILED)$/;

/** restartd's own refusals of who asks; those of clusters and vendors are others. */
const NOT_ALLOWED = /^(UNAUTHENTICATED|PERMISSION_DENIED|IDENTITY_NOT_ENCODABLE|HOST_NOT_ALLOWED)$/;

/** What an exit code is made of. */
export interface FailureSummary {
  /** Empty where the server did not say. */
  readonly reason: string;
  readonly outcome: "applied" | "not_applied" | "unknown";
  readonly code: Code;
}

/** The exit code of a failure. */
export function exitOf({ reason, outcome, code }: FailureSummary): number {
  if (outcome === "unknown") return EXIT.UNKNOWN;
  if (outcome === "applied" || AFTERWARDS.test(reason)) return EXIT.WENT_WRONG;
  if (NOT_ALLOWED.test(reason)) return EXIT.NOT_ALLOWED;
  // By contract the server says UNAVAILABLE only where asking again is right.
  if (isBusy(reason) || code === Code.Unavailable) return EXIT.BUSY;
  return EXIT.REFUSED;
}
