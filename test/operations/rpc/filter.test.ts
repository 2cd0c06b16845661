import { describe, expect, it } from "vitest";
import { Failure } from "../../../src/core/errors.ts";
import { writePageToken } from "../../../src/core/page-token.ts";
import { parseFilter } from "../../../src/operations/rpc/filter.ts";
import { createPageTokens, pageSizeOf } from "../../../src/operations/rpc/page-token.ts";

const ALLOWED =
  ' (a filter is comparisons joined by AND, such as state = UNRESOLVED AND create_time > "2026-01-31T00:00:00Z"; ' +
  "fields: target, state, principal, parent, create_time; operators: =, <, >)";

/** What is said of a filter, without what is allowed. */
function complaint(filter: string): string {
  try {
    parseFilter(filter);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    expect(error.reason).toBe("INVALID_ARGUMENT");
    expect(error.message.endsWith(ALLOWED)).toBe(true);
    const description = error.message.slice("filter: ".length);
    expect(error.details[0]?.value).toEqual({
      fieldViolations: [{ field: "filter", description, reason: "INVALID_FILTER" }],
    });
    return description.slice(0, -ALLOWED.length);
  }
  throw new Error("it was accepted");
}

const NOON = Date.UTC(2026, 0, 31, 12);

describe("parseFilter()", () => {
  it.each([
    ["", []],
    ["  \t\n ", []],
    ["state=UNRESOLVED", [{ field: "state", operator: "=", value: "UNRESOLVED" }]],
    ["state = STATE_NOT_OBSERVED", [{ field: "state", operator: "=", value: "NOT_OBSERVED" }]],
    ['state = "SENT"', [{ field: "state", operator: "=", value: "SENT" }]],
    [
      "target > projects/p/dcs AND target<projects/p/dcs0",
      [
        { field: "target", operator: ">", value: "projects/p/dcs" },
        { field: "target", operator: "<", value: "projects/p/dcs0" },
      ],
    ],
    [
      "target = projects/5F0E6D7C8B9A4A3B8C7D6E5F4A3B2C1D/ddm/instances/28E8A3B6C0D14BB2A7B54D7E6A1F9C00IN09",
      [
        {
          field: "target",
          operator: "=",
          value: "projects/5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d/ddm/instances/28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09",
        },
      ],
    ],
    ["target = sites/GIS/deployments/K1", [{ field: "target", operator: "=", value: "sites/GIS/deployments/K1" }]],
    [
      'principal = "a \\"b\\" \\\\ AND \\* = (c)"',
      [{ field: "principal", operator: "=", value: 'a "b" \\ AND * = (c)' }],
    ],
    ["parent = operations/1", [{ field: "parent", operator: "=", value: "operations/1" }]],
    ['principal = ""', [{ field: "principal", operator: "=", value: "" }]],
    ["principal = user:ann@example.com", [{ field: "principal", operator: "=", value: "user:ann@example.com" }]],
    [
      "principal = AND AND state = SENT",
      [
        { field: "principal", operator: "=", value: "AND" },
        { field: "state", operator: "=", value: "SENT" },
      ],
    ],
    ["create_time > 2026-01-31T12:00:00Z", [{ field: "createTime", operator: ">", value: NOON }]],
    ['create_time < "2026-01-31t14:00:00.250000+02:00"', [{ field: "createTime", operator: "<", value: NOON + 250 }]],
    [
      "create_time = 2024-02-29T00:00:00.1z",
      [{ field: "createTime", operator: "=", value: Date.UTC(2024, 1, 29) + 100 }],
    ],
  ])("reads %j", (filter, comparisons) => {
    expect(parseFilter(filter)).toEqual(comparisons);
  });

  it.each([
    ["stat = SENT", 'position 1: there is no field "stat"; did you mean state?'],
    ["createTime > 2026-01-31T12:00:00Z", 'position 1: there is no field "createTime"; did you mean create_time?'],
    ["outcome = applied", 'position 1: there is no field "outcome"'],
    ["SENT", 'position 1: there is no field "SENT"'],
    ["state", "position 6: an operator (=, < or >) has to follow state"],
    ["state SENT", "position 7: an operator (=, < or >) has to follow state"],
    ["state =", "position 8: a value has to follow state ="],
    ["state = = SENT", "position 9: a value has to follow state ="],
    ["= SENT", 'position 1: a comparison begins with a field, not with "="'],
    ["state:SENT", 'position 1: operator : is not supported in "state:SENT"; use =, < or >'],
    ["state : SENT", "position 7: operator : is not supported; use =, < or >"],
    ["state != SENT", "position 7: operator != is not supported; use =, < or >"],
    ["create_time >= 2026-01-31T12:00:00Z", "position 13: operator >= is not supported; use =, < or >"],
    ["state > SENT", "position 7: state has no order: it can only be compared by =, not by >"],
    ["state = SEND", 'position 9: there is no state "SEND"; did you mean SENT?'],
    [
      "state = toString",
      'position 9: there is no state "toString"; states: ACCEPTED, SENDING, SENT, SUCCEEDED, FAILED, CANCELLED, UNKNOWN, NOT_OBSERVED, UNRESOLVED',
    ],
    ["state = SENT OR state = FAILED", "position 14: OR is not supported"],
    ["state = SENT and state = FAILED", 'position 14: AND is written in capitals, not "and"'],
    ["state = SENT AND", "position 17: a comparison has to follow AND"],
    [
      "state = SENT target = t",
      'position 14: comparisons are joined by AND, not by "target"; a value with blanks has to be in quotes',
    ],
    ["NOT state = SENT", "position 1: negation is not supported"],
    ["-state = SENT", "position 1: negation is not supported"],
    ["(state = SENT)", "position 1: parentheses are not supported"],
    ["principal = f(x)", "position 14: parentheses are not supported"],
    ["principal = 'ann'", "position 13: values are quoted by double quotes"],
    ['principal = "ann', 'position 13: a quoted value has no end: "\\"ann"'],
    [
      "principal = a,b",
      'position 14: "," is not supported here; a value with special characters has to be in double quotes',
    ],
    [
      "target = clusters/*",
      'position 10: wildcards are not supported; a star that is meant as such is written "\\*", in quotes',
    ],
    ['target = "clusters/*"', "position 20: wildcards are not supported; a star that is meant as such is written \\*"],
    ["create_time > yesterday", 'position 15: "yesterday" is not a time of RFC 3339, such as 2026-01-31T23:59:59Z'],
    [
      "create_time > 2026-02-29T00:00:00Z",
      'position 15: "2026-02-29T00:00:00Z" is not a time of RFC 3339, such as 2026-01-31T23:59:59Z',
    ],
    [
      "create_time > 2026-01-31T24:00:00Z",
      'position 15: "2026-01-31T24:00:00Z" is not a time of RFC 3339, such as 2026-01-31T23:59:59Z',
    ],
    [
      "create_time > 2026-01-31T12:00:00",
      'position 15: "2026-01-31T12:00:00" is not a time of RFC 3339, such as 2026-01-31T23:59:59Z',
    ],
    [
      "create_time > 2026-01-31T12:00:00.0001Z",
      'position 15: "2026-01-31T12:00:00.0001Z" is finer than milliseconds, in which times are kept',
    ],
  ])("refuses %j", (filter, what) => {
    expect(complaint(filter)).toBe(what);
  });

  it("bounds how much is compared, and how long it thinks", () => {
    const times = (count: number) => Array.from({ length: count }, () => "principal = a").join(" AND ");
    expect(parseFilter(times(50))).toHaveLength(50);
    expect(complaint(times(51))).toBe("position 901: a filter has at most 50 comparisons");
    const begun = process.cpuUsage();
    for (const text of [" ", '"', "\\", "a", "a:", "* ", '"*', '"\\']) {
      expect(() => parseFilter(`principal = ${text.repeat(60_000)}(`)).toThrow(Failure);
    }
    expect(process.cpuUsage(begun).user / 1_000).toBeLessThan(2_000);
  });
});

describe("page tokens", () => {
  const filter = parseFilter("state = SENT");
  const last = { createTime: NOON, name: "operations/1" };
  const { write: writeToken, read: readToken } = createPageTokens("a store");

  it("say nothing of the operation that they follow, and are those of every replica on the store", () => {
    const bytesOf = (token: string): string => Buffer.from(token, "base64url").toString("latin1");
    const [, sealed] = JSON.parse(bytesOf(writeToken(last, filter)));
    for (const text of [bytesOf(writeToken(last, filter)), bytesOf(sealed)]) {
      expect(text).not.toMatch(new RegExp(`operations/1|${NOON}`));
    }
    expect(bytesOf(writePageToken([last.createTime, last.name], filter))).toMatch(/operations\/1/); // in clear it would be seen
    expect(createPageTokens("a store").read(writeToken(last, filter), filter)).toEqual(last);
    expect(() => createPageTokens("another").read(writeToken(last, filter), filter)).toThrow("not a token that this");
    const forged = writePageToken([last.createTime, last.name], filter);
    expect(() => readToken(forged, filter)).toThrow("not a token that this");
  });

  it("lead to where the list of their filter goes on, however it is written", () => {
    const token = writeToken(last, filter);
    expect(token).toMatch(/^[\w-]+$/);
    expect(readToken(token, parseFilter('state="STATE_SENT"'))).toEqual(last);
    expect(readToken("", filter)).toBeUndefined();
  });

  it("are refused with another filter, and when they are not ours", () => {
    expect(() => readToken(writeToken(last, filter), [])).toThrow(
      "page_token belongs to a list with other fields: repeat the request with what it had",
    );
    for (const token of ["x", Buffer.from("[1,2,3]").toString("base64url"), Buffer.from("{}").toString("base64url")]) {
      expect(() => readToken(token, filter)).toThrow(
        "page_token is not a token that this service made: begin again without it",
      );
    }
  });
});

describe("pageSizeOf()", () => {
  it("has a default, a maximum, and no negative", () => {
    expect([0, 1, 1000, 1001, 2 ** 31 - 1].map(pageSizeOf)).toEqual([100, 1, 1000, 1000, 1000]);
    expect(() => pageSizeOf(-1)).toThrow("page_size must not be negative: got -1; 0 stands for 100");
  });
});
