import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { useEffect } from "preact/hooks";
import { now } from "../browser.ts";
import { createStore, useStore } from "../store.ts";

/** The second that it is, for everything that shows how long ago something was: one timer for the page. */
const clock = createStore(0);
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** The server's time, epoch ms, again every second. */
export function useClock(): number {
  const tick = useStore(clock);
  useEffect(() => {
    if (users++ === 0) timer = setInterval(() => clock.set(clock.get() + 1), 1000);
    return () => {
      if (--users === 0) clearInterval(timer);
    };
  }, []);
  return tick < 0 ? 0 : now();
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const local = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "long" });
const ofDay = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** `3 minutes ago`. */
function ago(ms: number, at: number): string {
  const seconds = Math.min(0, Math.round((ms - at) / 1000)); // clocks differ: nothing that was is still to come
  const [unit, size] = UNITS.find(([, one]) => -seconds >= one) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** What {@link Time} is given. */
export interface TimeProps {
  /** A moment; undefined shows nothing. */
  readonly of: Timestamp | number | undefined;
  /** Whether the time itself is shown beside how long ago it was, for those who have no pointer to ask with. */
  readonly full?: boolean;
}

/** A moment: how long ago, and when. */
export function Time({ of, full }: TimeProps) {
  const at = useClock();
  if (of === undefined) return null;
  const ms = typeof of === "number" ? of : timestampMs(of);
  const date = new Date(ms);
  const text = local.format(date);
  return (
    <time dateTime={date.toISOString()} title={text}>
      {ago(ms, at)}
      {full && <span class="quiet"> · {text}</span>}
    </time>
  );
}

/** `12:03:10`, as the visitor's clock has it. */
export const timeOfDay = (ms: number): string => ofDay.format(new Date(ms));

/** A moment that a vendor wrote as text: as a moment where it is one. */
export function VendorTime({ text, full }: { readonly text: string; readonly full?: boolean }) {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? <span>{text}</span> : <Time of={ms} full={full ?? false} />;
}

/** `850 ms`, `12 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600)
    return [`${Math.floor(seconds / 60)} min`, seconds % 60 ? `${seconds % 60} s` : ""].join(" ").trim();
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}
