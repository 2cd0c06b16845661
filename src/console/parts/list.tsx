import type { ComponentChildren } from "preact";
import type { Polled } from "../api/poll.ts";
import { isAway, NO_ANSWER } from "../api/problem.ts";
import { HEADINGS, W } from "../words.ts";
import { ProblemBox } from "./problem.tsx";
import { timeOfDay, useClock } from "./time.tsx";

/** One column of a table. */
export interface Column<Row> {
  readonly title: string;
  /** What a row has in it. */
  cell(row: Row): ComponentChildren;
  /** Whether it names the row: the one `rowheader`. */
  readonly names?: boolean;
  /** Its share of the width. Default 1. Widths are given beforehand, so that nothing moves when rows come. */
  readonly share?: number;
  /** Whether it holds numbers. */
  readonly number?: boolean;
  /** Whether its title is for those alone who cannot see that it needs none: buttons, checkboxes. */
  readonly hidden?: boolean;
}

/** What {@link Table} is given. */
export interface TableProps<Row> {
  /** Its accessible name. */
  readonly name: string;
  readonly columns: readonly Column<Row>[];
  /** Undefined while they are not known. */
  readonly rows: readonly Row[] | undefined;
  /** Resource name of a row. */
  nameOf(row: Row): string;
  /** What stands in place of rows when there are none. */
  readonly empty: ComponentChildren;
}

/** A share of a table is at least so many pixels wide: a narrower window scrolls within the table. */
const SHARE_PX = 80;

/** A table that has its place before its rows come. */
export function Table<Row>({ name, columns, rows, nameOf, empty }: TableProps<Row>) {
  const whole = columns.reduce((sum, { share = 1 }) => sum + share, 0);
  return (
    <div class="scroll">
      <table aria-label={name} style={{ minWidth: `${whole * SHARE_PX}px` }}>
        <thead>
          <tr>
            {columns.map(({ title, number, hidden, share = 1 }) => (
              <th
                key={title}
                scope="col"
                class={number ? "number" : undefined}
                style={{ width: `${(share / whole) * 100}%` }}
              >
                {hidden ? <span class="sr">{title}</span> : title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows === undefined && (
            <tr>
              <td colSpan={columns.length}>
                <Loading />
              </td>
            </tr>
          )}
          {rows?.length === 0 && (
            <tr>
              <td colSpan={columns.length} data-testid="empty" class="quiet">
                {empty}
              </td>
            </tr>
          )}
          {rows?.map((row) => (
            <tr key={nameOf(row)} data-name={nameOf(row)}>
              {columns.map(({ title, cell, names, number }) =>
                names ? (
                  <th key={title} scope="row">
                    {cell(row)}
                  </th>
                ) : (
                  <td key={title} class={number ? "number" : undefined}>
                    {cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Said while nothing is known. */
export const Loading = () => (
  <span role="status" data-testid="loading" class="quiet">
    {W.loading}
  </span>
);

/** What {@link Known} is given. */
export interface KnownProps<Value> {
  readonly polled: Polled<Value>;
  /** Shows the newest answer; undefined while there is none. */
  show(value: Value | undefined): ComponentChildren;
}

/** What is known of something: loading, an answer, an older answer and why it is old, or what went wrong. */
export function Known<Value>({ polled, show }: KnownProps<Value>) {
  const { value, problem, refresh } = polled;
  if (problem === undefined) return <>{show(value)}</>;
  if (value === undefined) return <ProblemBox problem={problem} onRetry={refresh} />;
  // Where nobody answers at all the page says so once, above everything.
  return (
    <>
      {!isAway(problem) && (
        <Stale
          reason={problem.reason}
          sentence={`${HEADINGS[problem.reason] ?? problem.reason}: ${problem.message}.`}
          at={polled.at}
          retryAt={polled.retryAt}
          retry={refresh}
        />
      )}
      <div class="dimmed">{show(value)}</div>
    </>
  );
}

/** What {@link Stale} is given. */
export interface StaleProps {
  readonly reason?: string;
  readonly sentence: string;
  /** When what is shown was known; undefined: nothing was. */
  readonly at: number | undefined;
  readonly retryAt: number;
  readonly retry: () => void;
}

/** Says that what is shown is old, why, and when it is asked for again. */
export function Stale({ reason = NO_ANSWER, sentence, at, retryAt, retry }: StaleProps) {
  const clock = useClock();
  const seconds = Math.max(0, Math.ceil((retryAt - clock) / 1000));
  return (
    <div class="banner-note" data-testid="stale" data-reason={reason}>
      <span>
        {at === undefined ? W.noAnswerYet : W.showing(timeOfDay(at))} {sentence} {W.tryingAgain(seconds)}
      </span>
      <button type="button" class="small" onClick={retry}>
        {W.tryNow}
      </button>
    </div>
  );
}
