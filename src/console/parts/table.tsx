import type { ComponentChildren } from "preact";
import { Loading } from "./known.tsx";

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
                <div class="instead">
                  <Loading />
                </div>
              </td>
            </tr>
          )}
          {rows?.length === 0 && (
            <tr>
              <td colSpan={columns.length} data-testid="empty" class="quiet">
                <div class="instead">{empty}</div>
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
