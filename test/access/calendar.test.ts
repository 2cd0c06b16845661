import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import { FreezeWindowSchema } from "../../gen/restart/config/v1/freeze_pb.ts";
import { readCalendar } from "../../src/access/calendar.ts";
import { permissionsOf } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";

const { catalog } = permissionsOf(TARGETS.flatMap(({ services }) => services));

type Window = Exclude<MessageInitShape<typeof FreezeWindowSchema>, { $typeName: string }>;

function freezeOf(window: Window) {
  const sections = create(ConfigSchema, {
    freezes: [create(FreezeWindowSchema, { name: "a", targets: ["**"], ...window })],
  });
  const refuse = (_: unknown, message: string): never => {
    throw new Error(message);
  };
  const reader = {
    problem: refuse,
    warning: refuse,
    problemElsewhere: refuse as never,
    warningElsewhere: refuse as never,
    resolve: (path: string) => path,
    whereIs: () => "",
  };
  const [freeze] = readCalendar(sections, reader, { catalog });
  if (freeze === undefined) throw new Error("a freeze");
  return freeze;
}

const MADRID = { days: ["mon", "fri"], between: ["20:00", "06:00"], timeZone: "Europe/Madrid" };

describe("a freeze of the calendar", () => {
  it.each<[window: Window, time: string, expected: boolean]>([
    // 2026-11-27 is a Friday; Madrid is an hour ahead of UTC in winter, two in summer.
    [MADRID, "2026-11-27T18:59:59Z", false],
    [MADRID, "2026-11-27T19:00:00Z", true],
    [MADRID, "2026-11-28T04:59:59Z", true],
    [MADRID, "2026-11-28T05:00:00Z", false],
    [MADRID, "2026-11-28T19:00:00Z", false],
    // Of Sunday's night nothing is frozen: Monday's begins on Monday.
    [MADRID, "2026-11-30T04:00:00Z", false],
    [MADRID, "2026-11-30T19:00:00Z", true],
    [MADRID, "2026-12-01T04:00:00Z", true],
    // Sunday is before Monday, also where that is the week's other end.
    [{ between: ["20:00", "06:00"], days: ["sun"] }, "2026-11-30T03:00:00Z", true],
    [{ between: ["20:00", "06:00"], days: ["sun"] }, "2026-11-29T03:00:00Z", false],
    [{ between: ["08:00", "18:00"], days: ["mon"] }, "2026-11-30T08:00:00Z", true],
    [{ between: ["08:00", "18:00"], days: ["mon"] }, "2026-11-30T18:00:00Z", false],
    [{ between: ["08:00", "18:00"] }, "2026-11-29T12:00:00Z", true],
    [{ between: ["00:00", "12:00"] }, "2026-11-29T00:00:00Z", true],
    // Clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25: both times that they show 02:30 count.
    [{ between: ["02:15", "02:45"], timeZone: "Europe/Madrid" }, "2026-03-29T01:00:00Z", false],
    [{ between: ["02:00", "04:00"], timeZone: "Europe/Madrid" }, "2026-03-29T01:00:00Z", true],
    [{ between: ["02:00", "04:00"], timeZone: "Europe/Madrid" }, "2026-03-29T02:00:00Z", false],
    [{ between: ["02:15", "02:45"], timeZone: "Europe/Madrid" }, "2026-10-25T00:30:00Z", true],
    [{ between: ["02:15", "02:45"], timeZone: "Europe/Madrid" }, "2026-10-25T01:30:00Z", true],
    [{ between: ["20:00", "06:00"], timeZone: "Asia/Kathmandu" }, "2026-11-29T14:14:00Z", false],
    [{ between: ["20:00", "06:00"], timeZone: "Asia/Kathmandu" }, "2026-11-29T14:15:00Z", true],
    [once("2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"), "2026-11-25T23:59:59Z", false],
    [once("2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"), "2026-11-26T00:00:00Z", true],
    [once("2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z"), "2026-12-01T00:00:00Z", false],
  ])("%o is at %s in force: %s", (window, time, expected) => {
    expect(freezeOf(window).inForce(new Date(time))).toBe(expected);
  });

  it("says when it ends, as whoever waits can read it", () => {
    expect(freezeOf(MADRID).end).toBe("06:00 (Europe/Madrid)");
    expect(freezeOf(once("2026-11-26T00:00:00Z", "2026-12-01T00:00:00Z")).end).toBe("2026-12-01T00:00:00.000Z");
  });
});

function once(from: string, until: string): Window {
  return { from: timestampFromDate(new Date(from)), until: timestampFromDate(new Date(until)) };
}
