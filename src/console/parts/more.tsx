import { useEffect, useRef, useState } from "preact/hooks";
import { type Problem, problemOf } from "../api/problem.ts";
import { W } from "../words.ts";
import { ProblemBox } from "./problem.tsx";

/** Pages of a list after its first. */
export interface MorePages<Row> {
  readonly rows: readonly Row[];
  /** Token of the page after these; undefined when the first page tells. */
  readonly next: string | undefined;
  readonly problem: Problem | undefined;
  readonly loading: boolean;
  /** Loads the page of a token. */
  load(token: string): void;
}

type State<Row> = Pick<MorePages<Row>, "rows" | "next" | "problem" | "loading"> & { readonly key: string };

/**
 * Loads further pages of a list when they are asked for.
 *
 * @param key tells which list; another one begins anew.
 */
export function useMore<Row>(
  key: string,
  ask: (token: string, signal: AbortSignal) => Promise<{ readonly rows: readonly Row[]; readonly next: string }>,
): MorePages<Row> {
  const nothing: State<Row> = { key, rows: [], next: undefined, problem: undefined, loading: false };
  const [state, setState] = useState(nothing);
  const page = useRef(new AbortController());
  // What is on its way for another list is dropped.
  useEffect(() => {
    page.current = new AbortController();
    return () => page.current.abort();
  }, [key]);
  const now = state.key === key ? state : nothing;
  return {
    ...now,
    load(token) {
      const { signal } = page.current;
      setState({ ...now, loading: true, problem: undefined });
      ask(token, signal).then(
        ({ rows, next }) => {
          if (!signal.aborted)
            setState({ key, rows: [...now.rows, ...rows], next, problem: undefined, loading: false });
        },
        (error: unknown) => {
          if (!signal.aborted) setState({ ...now, problem: problemOf(error), loading: false });
        },
      );
    },
  };
}

/** What {@link More} is given. */
export interface MoreProps<Row> {
  readonly more: MorePages<Row>;
  /** Token of the second page. */
  readonly first: string;
}

/** Loads the next page, while there is one. */
export function More<Row>({ more, first }: MoreProps<Row>) {
  const token = more.next ?? first;
  return (
    <>
      {more.problem && <ProblemBox problem={more.problem} alert />}
      {token !== "" && (
        <button
          type="button"
          class="more"
          aria-disabled={more.loading}
          onClick={() => more.loading || more.load(token)}
        >
          {more.loading ? W.loading : W.loadMore}
        </button>
      )}
    </>
  );
}
