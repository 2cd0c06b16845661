import type { Rate, Limits as Section } from "../../gen/restart/config/v1/limits_pb.ts";

/** How often something may be done. */
export interface RateSettings {
  /** Per second, in the long run. */
  readonly rate: number;
  /** At once, after a pause. */
  readonly burst: number;
}

/** What each caller may ask for; undefined: as much as it likes. */
export interface ShareSettings {
  readonly calls: RateSettings | undefined;
  readonly mutations: RateSettings | undefined;
  /** At a time. */
  readonly streams: number | undefined;
}

/** Reads the section `limits`. */
export function readLimits(section: Section | undefined): ShareSettings {
  const { calls, mutations, streams } = section?.perPrincipal ?? {};
  return { calls: rateOf(calls), mutations: rateOf(mutations), streams: streams === 0 ? undefined : streams };
}

const rateOf = (section: Rate | undefined): RateSettings | undefined =>
  section && { rate: section.rate, burst: section.burst || Math.max(1, Math.floor(section.rate)) };
