import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { createRows } from "../../../src/operations/store/rows.ts";
import { createStatements } from "../../../src/operations/store/statements.ts";
import { record } from "../records.ts";

const rows = createRows(true);
const audit = rows.ofAudit({
  event: "accepted",
  operation: "operations/1",
  time: 1,
  replica: "r",
  from: undefined,
  to: "ACCEPTED",
});

/** The positions that a text names, in its order. */
const placesOf = (text: string): number[] => [...text.matchAll(/\$(\d+)/g)].map(([, position]) => Number(position));

describe("createStatements()", () => {
  it("makes each text once, whatever it is bound to", () => {
    const statements = createStatements(
      () => "?",
      (place) => `select ${place}`,
    );
    const [one, other] = [record(), record({ response: "{}", requestId: undefined })].map((of) => rows.ofRecord(of, 0));
    if (one === undefined || other === undefined) throw new Error("no row");
    for (const make of [
      (row: typeof one) => statements.insert(row),
      (row: typeof one) => statements.change(row, 1, 1),
      (row: typeof one) => statements.insertWithAudit(row, audit),
      (row: typeof one) => statements.changeWithAudit(row, 1, audit),
      (row: typeof one) => statements.insertWithAudit(row, audit, 7),
      (row: typeof one) => statements.changeWithAudit(row, 1, audit, 7),
    ]) {
      expect(make(one).text).toBe(make(other).text);
      expect(make(one).values).not.toEqual(make(other).values);
    }
    expect(statements.change(one, 1, 0).text).not.toBe(statements.change(one, 1, 1).text);
  });

  it("binds as many values as it has places, numbered in order where the database numbers them", () => {
    const statements = createStatements(
      (position) => `$${position}`,
      (place) => `select ${place}`,
    );
    const row = rows.ofRecord(record(), 0);
    for (const { text, values } of [
      statements.insert(row),
      statements.change(row, 1, 1),
      statements.audit(audit),
      statements.get("x"),
      statements.insertWithAudit(row, audit),
      statements.changeWithAudit(row, 1, audit),
    ]) {
      expect(placesOf(text)).toEqual(values.map((_, at) => at + 1));
    }
    // An epoch stands before what it is bound after: no database without numbers has such statements.
    for (const { text, values } of [
      statements.insertWithAudit(row, audit, 7),
      statements.changeWithAudit(row, 1, audit, 7),
    ]) {
      const [epoch = 0, ...others] = placesOf(text);
      expect(values[epoch - 1]).toBe("7");
      expect(others).toEqual(values.map((_, at) => at + 1).filter((position) => position !== epoch));
    }
  });

  it("leaves alone what a change must not touch", () => {
    const { text } = createStatements(() => "?").change(rows.ofRecord(record(), 0), 1, 0);
    expect(text).not.toMatch(/\b(name|ordinal) = \?,/);
    using database = new DatabaseSync(":memory:");
    database.exec("create table operations (name text, ordinal integer)");
    expect(() => database.prepare(text)).toThrow("no such column"); // it is one statement that SQLite reads
  });
});
