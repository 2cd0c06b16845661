import { type Authorization, PolicySchema } from "../../gen/restart/config/v1/authorization_pb.ts";
import type { Config } from "../../gen/restart/config/v1/config_pb.ts";
import { readNamedFile } from "../config/file.ts";
import { authenticatorsOf } from "../core/authenticators.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { compilePolicy, type Policy, type PolicyText } from "./policy.ts";
import { type AccessOptions, fixed, type Reloaded, reloadedFile } from "./reloaded.ts";
import type { RuleContext } from "./rule.ts";

const NO_RULES: PolicyText = { rules: [], reasons: [] };

/** Reads the section `authorization`, or the file that it names. */
export function readAuthorization(
  section: Authorization | undefined,
  sections: Config,
  reader: SectionReader,
  { catalog, registry, validator }: AccessOptions,
): Reloaded<Policy> {
  const context = (to: SectionReader): RuleContext => ({
    catalog,
    registry,
    claims: new Set(sections.authentication?.issuers.flatMap(({ claims }) => claims)),
    authenticators: authenticatorsOf(sections.authentication),
    systems: systemsOf(sections),
    problem: to.problem,
    warning: to.warning,
  });
  if (section === undefined || section.file === "") {
    return fixed(compilePolicy(section ?? NO_RULES, ["authorization"], context(reader)));
  }
  const named = { path: reader.resolve(section.file), file: section.file };
  return reloadedFile(named, ["authorization", "file"], reader, () => {
    const { message, report } = readNamedFile(PolicySchema, named, validator);
    return { value: compilePolicy(message ?? NO_RULES, [], context(report.reader)), ...report };
  });
}

/** The systems that the configuration names, by the first segment of their resource names. */
export const systemsOf = ({ kubernetes, arcgis, huaweicloud }: Config): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map([
    ["clusters", new Set(kubernetes?.clusters.map(({ name }) => name))],
    ["sites", new Set(arcgis?.sites.map(({ name }) => name))],
    ["projects", new Set(huaweicloud?.projects.map(({ projectId }) => projectId))],
  ]);
