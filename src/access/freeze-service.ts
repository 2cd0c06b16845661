import { create } from "@bufbuild/protobuf";
import { EmptySchema, type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Freeze,
  Freeze_Source,
  FreezeSchema,
  FreezeService,
  ListFreezesResponseSchema,
} from "../../gen/restart/access/v1/freeze_service_pb.ts";
import { requirePermission } from "../core/authorize.ts";
import { badRequest, Failure, type FieldViolation, preconditionFailure, resourceInfo } from "../core/errors.ts";
import type { CalendarFreeze, FreezeRegistry, SwitchedFreeze } from "../core/freeze.ts";
import { identityIn } from "../core/identity.ts";
import { principalKey } from "../core/principal.ts";
import { type Route, route } from "../core/route.ts";
import { quote } from "../core/show-value.ts";
import { canMatch, targetPattern } from "../core/target-pattern.ts";
import { type Catalog, templatesOf } from "./catalog.ts";

/** What {@link createFreezeRoute} works with. */
export interface FreezeServiceOptions {
  readonly freezes: FreezeRegistry;
  /** Says what there can be to freeze. */
  readonly catalog: Catalog;
  /** The wall clock. */
  readonly now: () => Date;
}

/** A freeze ends by itself after so long (ms), so that a forgotten one is not found in the next incident. */
const LONGEST_MS = 30 * 24 * 3600 * 1000;

/** What two clocks may differ by, when somebody asks for the longest (ms). */
const SKEW_MS = 60_000;

const CREATE = "freezes.create";
const LIFT = "freezes.lift";

/** restart.access.v1.FreezeService. */
export const createFreezeRoute = ({ freezes, catalog, now }: FreezeServiceOptions): Route =>
  route(FreezeService, {
    async createFreeze({ name, targets, until, message, reason }, context) {
      const time = now().getTime();
      refuseWrong([...wrongUntil(until, time), ...wrongTargets(targets, catalog)]);
      requirePermission(context, CREATE, targets);
      if (freezes.calendar.some((configured) => configured.name === name)) throw isConfigured(name);
      const freeze: SwitchedFreeze = {
        name,
        targets,
        message,
        reason,
        until: until === undefined ? time + LONGEST_MS : Math.min(timestampMs(until), time + LONGEST_MS),
        principal: context.values.get(principalKey).id,
        createTime: time,
      };
      await change(freezes, (switched) => {
        const before = switched.find((one) => one.name === name);
        if (before !== undefined && takesAway(before, freeze)) requirePermission(context, LIFT, before.targets);
        return { kind: "create", freeze, identity: identityIn(context) };
      });
      return shown(freeze);
    },
    async liftFreeze({ name, reason }, context) {
      const { id: principal } = context.values.get(principalKey);
      await change(freezes, (switched) => {
        const found = [...switched, ...freezes.calendar].find((one) => one.name === name);
        if (found === undefined) throw notFound(name);
        requirePermission(context, LIFT, found.targets);
        if ("inForce" in found) throw isConfigured(name);
        return { kind: "lift", name, principal, reason, identity: identityIn(context) };
      });
      return create(EmptySchema);
    },
    async listFreezes() {
      const { switched } = await freezes.read();
      const time = now();
      const all = [
        ...switched.map(shown),
        ...freezes.calendar
          .filter(({ until }) => until === undefined || time.getTime() < until)
          .map((freeze) => shownConfigured(freeze, time)),
      ];
      return create(ListFreezesResponseSchema, {
        freezes: all.sort(({ name: a }, { name: b }) => (a < b ? -1 : 1)),
      });
    },
  });

/** Changes freezes by what there are, as often as somebody else is faster. */
async function change(
  freezes: FreezeRegistry,
  next: (switched: readonly SwitchedFreeze[]) => Parameters<FreezeRegistry["change"]>[1],
): Promise<void> {
  for (;;) {
    const { epoch, switched } = await freezes.read();
    if (await freezes.change(epoch, next(switched))) return;
  }
}

/** Whether something that was frozen is not any longer, or not as long. */
const takesAway = (before: SwitchedFreeze, after: SwitchedFreeze): boolean =>
  after.until < before.until || !before.targets.every((target) => after.targets.includes(target));

function wrongUntil(until: Timestamp | undefined, now: number): FieldViolation[] {
  if (until === undefined) return [];
  const end = timestampMs(until);
  if (end > now && end <= now + LONGEST_MS + SKEW_MS) return [];
  const description = end > now ? "must be at most 30 days from now: renew the freeze then" : "must be later than now";
  return [{ field: "until", description, reason: "INVALID_UNTIL" }];
}

function wrongTargets(targets: readonly string[], catalog: Catalog): FieldViolation[] {
  const templates = templatesOf(catalog);
  return targets.flatMap((text, index) => {
    const pattern = targetPattern(text);
    const meaningless = text !== "**" && !templates.some((template) => canMatch(text, template));
    const wrong = pattern.wrong ?? (meaningless ? "must be able to match the name of something" : undefined);
    if (wrong === undefined) return [];
    return [{ field: `targets[${index}]`, description: `${wrong}, but is ${quote(text)}`, reason: "INVALID_TARGET" }];
  });
}

function refuseWrong(violations: FieldViolation[]): void {
  if (violations.length === 0) return;
  const message = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  throw new Failure("INVALID_ARGUMENT", message, { details: [badRequest(violations)] });
}

const notFound = (name: string): Failure =>
  new Failure(
    "FREEZE_NOT_FOUND",
    `there is no freeze ${quote(name)}: it never was, has run out, or was lifted; ListFreezes names those that are`,
    { details: [resourceInfo("restartd.freeze", `freezes/${name}`)] },
  );

function isConfigured(name: string): Failure {
  const description = `freezes/${name} stands in the configuration: change it there`;
  return new Failure("FREEZE_IS_CONFIGURED", description, {
    details: [preconditionFailure([{ type: "FREEZE_IS_CONFIGURED", subject: `freezes/${name}`, description }])],
  });
}

const shown = ({ name, targets, until, message, reason, principal, createTime }: SwitchedFreeze): Freeze =>
  create(FreezeSchema, {
    name,
    targets: [...targets],
    until: timestampFromMs(until),
    message,
    source: Freeze_Source.SWITCH,
    active: true,
    reason,
    principal,
    createTime: timestampFromMs(createTime),
  });

const shownConfigured = ({ name, targets, until, message, inForce }: CalendarFreeze, now: Date): Freeze =>
  create(FreezeSchema, {
    name,
    targets: [...targets],
    message,
    source: Freeze_Source.CONFIGURATION,
    active: inForce(now),
    ...(until !== undefined && { until: timestampFromMs(until) }),
  });
