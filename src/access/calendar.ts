import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Config } from "../../gen/restart/config/v1/config_pb.ts";
import type { FreezeWindow } from "../../gen/restart/config/v1/freeze_pb.ts";
import type { Calendar, CalendarFreeze } from "../core/freeze.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";
import { anyTargetOf } from "../core/target-pattern.ts";
import { systemsOf } from "./authorization.ts";
import type { AccessOptions } from "./reloaded.ts";
import { readTargets } from "./rule.ts";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** Reads the section `freezes`. */
export function readCalendar(
  sections: Config,
  reader: SectionReader,
  { catalog }: Pick<AccessOptions, "catalog">,
): Calendar {
  const names = new Map<string, number>();
  const { problem, warning } = reader;
  const context = { catalog, systems: systemsOf(sections), problem, warning };
  return sections.freezes.map((window, index): CalendarFreeze => {
    const { name, targets, message } = window;
    const path = ["freezes", index];
    const before = names.get(name);
    if (before === undefined) names.set(name, index);
    else if (name !== "") problem([...path, "name"], `must be unique, but is that of freezes[${before}] too`);
    const matches = anyTargetOf(readTargets(targets, [...path, "targets"], context));
    const when = isOnce(window)
      ? once(window)
      : weekly(window, () =>
          problem(
            [...path, "time_zone"],
            `must be the name of a time zone, such as Europe/Madrid, but is ${quote(window.timeZone)}`,
          ),
        );
    return { name, targets, message, matches, ...when };
  });
}

type When = Pick<CalendarFreeze, "until" | "end" | "inForce">;

const isOnce = ({ between }: FreezeWindow): boolean => between.length === 0;

/** @param window has both ends: its rules are in the schema. */
function once({ from, until }: FreezeWindow): When {
  const begin = from === undefined ? 0 : timestampMs(from);
  const end = until === undefined ? 0 : timestampMs(until);
  return {
    until: end,
    end: new Date(end).toISOString(),
    inForce: (now) => begin <= now.getTime() && now.getTime() < end,
  };
}

/**
 * Every week. The time is read off a clock on the wall of the zone, and nothing is added to it or taken from it: so it is right when
 * the clocks change.
 */
function weekly({ days, between, timeZone }: FreezeWindow, wrongZone: () => void): When {
  const [from = "", to = ""] = between;
  const zone = timeZone === "" ? "UTC" : timeZone;
  const clock = clockOf(zone);
  if (clock === undefined) wrongZone();
  const begins = (day: number): boolean => days.length === 0 || days.includes(DAYS[day] ?? "");
  return {
    until: undefined,
    end: `${to} (${zone})`,
    inForce(now) {
      const shown = clock?.(now);
      if (shown === undefined) return false;
      const { day, time } = shown;
      if (from < to) return begins(day) && from <= time && time < to;
      // Past midnight it belongs to the day on which it began.
      return time >= from ? begins(day) : time < to && begins((day + 6) % 7);
    },
  };
}

/** What a clock on the wall of a zone shows: the day, counted from Monday, and HH:MM. Undefined: there is no such zone. */
function clockOf(timeZone: string): ((now: Date) => { day: number; time: string }) | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  return (now) => {
    const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
    const day = DAYS.indexOf((parts.get("weekday") ?? "").toLowerCase());
    return { day, time: `${parts.get("hour")}:${parts.get("minute")}` };
  };
}
