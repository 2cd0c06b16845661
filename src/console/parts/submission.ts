import { useEffect, useRef, useState } from "preact/hooks";
import { type Ask, type Intent, isLost, type Refused, sendAndAsk } from "../api/intention.ts";
import { newRequestId, type Pending, pending, remember, settle } from "../api/pending.ts";
import { navigate, urlOf } from "../router.ts";

/** How the submission stands. */
export type Sending =
  | { readonly kind: "idle" | "sending" | "asking" }
  | ({ readonly kind: "refused" | "lost" } & Refused);

/** One intention: what is sent for it, and under which id. */
export interface Submission {
  readonly sending: Sending;
  readonly busy: boolean;
  /** Told when something that is sent has changed: after a refusal that is a new call. */
  renew(): void;
  /** Sends it once; where its answer was lost, asks what became of it. Neither while it is under way. */
  submit(choices: Pick<Ask, "acknowledged" | "overrideFreeze" | "reason">): Promise<void>;
}

/**
 * Does what is meant at most once, and then shows its operation.
 *
 * @param onClose is called when there is nothing more to say here.
 */
export function useSubmission(intent: Intent, onClose: () => void): Submission {
  const [sending, setSending] = useState<Sending>({ kind: "idle" });
  const requestId = useRef<string>(undefined);
  requestId.current ??= newRequestId();
  const open = useRef(true);
  const unanswered = useRef<Pending>(undefined);
  // What was sent goes on without the dialog: the page says what becomes of it.
  useEffect(
    () => () => {
      open.current = false;
      if (unanswered.current !== undefined) pending.set(unanswered.current);
    },
    [],
  );
  const busy = sending.kind === "sending" || sending.kind === "asking";
  /** A refused call stays refused under its id: what is tried anew is a new call. */
  const renew = (): void => {
    if (sending.kind !== "refused") return;
    requestId.current = newRequestId();
    setSending({ kind: "idle" });
  };
  const submit: Submission["submit"] = async (choices) => {
    if (busy) return;
    if (sending.kind === "refused") requestId.current = newRequestId();
    const id = requestId.current ?? newRequestId();
    setSending({ kind: sending.kind === "lost" ? "asking" : "sending" });
    unanswered.current = { requestId: id, title: intent.title };
    remember(unanswered.current);
    const ask = { validateOnly: false, requestId: id, ...choices };
    const answer = await sendAndAsk(intent, ask, () => setSending({ kind: "asking" }));
    if (!open.current) return;
    if (!isLost(answer)) {
      unanswered.current = undefined;
      settle();
    }
    if (answer.operation !== "") {
      onClose();
      navigate(urlOf(answer.operation));
    } else if ("problem" in answer) {
      setSending({ kind: isLost(answer) ? "lost" : "refused", ...answer });
    } else {
      onClose();
    }
  };
  return { sending, busy, renew, submit };
}
