import type { Answer } from "../../../clouds/http.ts";
import { Failure, type Reason } from "../../../core/errors.ts";
import { inFront, isRefusedByApiServer, statusIn } from "../cluster/who-answered.ts";
import { asCause, evidence, messageOf, type RequestSubject } from "../errors.ts";

/** etcd's answers that refuse a write (etcd api/v3rpc/rpctypes/error.go), in its words. Its others can leave one under way. */
const REFUSED_BY_STORE =
  /etcdserver: (mvcc: database space exceeded|too many requests|corrupt cluster|permission denied|invalid auth token)/;

/** What an error of the API server's own can say that nevertheless leaves a write to its store under way. */
const UNDER_WAY =
  /rpc error|etcdserver|context |tim(ed?|ing) ?out|deadline|connection|leader|transport|EOF|cancell?ed/i;

/** An answer that ended a write: nothing of it can still happen. */
export interface Ending {
  /** What the call fails with when the write was not applied. */
  readonly failure: Failure;
  /** Whether the answer itself says that the write was not applied. Otherwise the object has to show it. */
  readonly refused: boolean;
}

/** The end of a write by an answer that is no refusal of the API server's own, or undefined where it can still be under way. */
export function endingOf(answer: Answer, subject: RequestSubject): Ending | undefined {
  const end = (reason: Reason, sentence: string, refused = false): Ending => ({
    failure: new Failure(reason, `cluster ${subject.cluster}: ${sentence}; the restart was not applied`, {
      metadata: evidence(answer, subject),
      cause: asCause(answer),
    }),
    refused,
  });
  const { status } = answer;
  if (!isRefusedByApiServer(answer)) {
    // Whatever stands in front refused it, or had the API server's answer and kept it.
    return status >= 400 && status < 500 && status !== 408 ? end("VENDOR_BAD_RESPONSE", inFront(answer)) : undefined;
  }
  const message = messageOf(answer);
  const [, words] = (status >= 500 && REFUSED_BY_STORE.exec(message)) || [];
  if (words !== undefined) {
    const sentence = `its store does not take the write (etcd: ${words}); the cluster's operator has to mend that`;
    return end("VENDOR_INTERNAL_ERROR", sentence, true);
  }
  const panicked = /^This request caused apiserver to panic/.test(message);
  const own = status === 500 && statusIn(answer)?.reason === "InternalError" && !UNDER_WAY.test(message);
  return panicked || own
    ? end("VENDOR_INTERNAL_ERROR", "the API server failed while it handled the write (HTTP 500)")
    : undefined;
}
