import { useEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "./problem.ts";
import { follow, type Step } from "./stream.ts";

/** How following stands. */
export interface Following {
  /** Whether the stream has been away for a while. */
  readonly reconnecting: boolean;
  readonly problem: Problem | undefined;
}

/**
 * Follows something for as long as the component is there.
 *
 * @param key tells what; another key begins anew.
 * @param next the way to follow now; undefined when all is over. The newest one given is asked.
 */
export function useFollow(key: string, next: () => Step | undefined): Following {
  const [reconnecting, setReconnecting] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const newest = useRef(next);
  newest.current = next;
  // Another key is another thing to follow.
  useEffect(() => {
    const page = new AbortController();
    setReconnecting(false);
    setProblem(undefined);
    follow(() => newest.current(), page.signal, { reconnecting: setReconnecting, problem: setProblem }).catch(
      (error: unknown) => {
        if (!page.signal.aborted) reportError(error);
      },
    );
    return () => page.abort();
  }, [key]);
  return { reconnecting, problem };
}
