import { create, type DescMessage, type DescService } from "@bufbuild/protobuf";
import { type AccessKind, accessOf, type MethodAccess, type Question } from "../core/access.ts";
import { nearName } from "../core/near-name.ts";
import { quote } from "../core/show-value.ts";

/** One permission that there is, and the methods that ask for it. */
export interface Permission {
  readonly name: string;
  readonly kinds: ReadonlySet<AccessKind>;
  /** Templates of the targets that it is asked about; empty where the methods judge by what they read. */
  readonly targets: readonly string[];
  /** Requests that a condition can look into: of every method, or undefined where some method's cannot be looked into. */
  readonly requests: readonly DescMessage[] | undefined;
}

/** Every permission, by its name. */
export type Catalog = ReadonlyMap<string, Permission>;

/**
 * Gathers the permissions that there are.
 *
 * @param services ours: their options say what they ask for.
 * @param others what published services ask for.
 */
export function catalogOf(services: readonly DescService[], others: readonly MethodAccess[]): Catalog {
  const ours = services.flatMap(({ methods }) =>
    methods.flatMap((method) => {
      const access = accessOf(method);
      return access === undefined ? [] : [{ access, input: method.input }];
    }),
  );
  const catalog = new Map<string, Permission>();
  for (const { access, input } of [...ours, ...others.map((access) => ({ access, input: undefined }))]) {
    if (access.permission === "") continue;
    const before = catalog.get(access.permission);
    const requests = access.kind === "loaded" || input === undefined ? undefined : [input];
    catalog.set(access.permission, {
      name: access.permission,
      kinds: new Set([...(before?.kinds ?? []), access.kind]),
      targets: [...new Set([...(before?.targets ?? []), ...access.targets])],
      requests: before === undefined ? requests : requests && before.requests && [...before.requests, ...requests],
    });
  }
  return catalog;
}

/** Why there is no such permission; undefined when there is. */
export function unknownPermission(catalog: Catalog, permission: string): string | undefined {
  if (catalog.has(permission)) return undefined;
  const near = nearName(permission, catalog.keys());
  return `${quote(permission)} is no permission${near === undefined ? "" : `; did you mean ${near}?`}`;
}

/** Whether freezes are in the way of what a permission is about. */
export const mindsFreezes = (catalog: Catalog, permission: string): boolean =>
  catalog.get(permission)?.requests?.some(({ fields }) => fields.some(({ name }) => name === "override_freeze")) ??
  false;

/** The request that a question is asked with where there is none: one without any field. */
export function emptyRequest(catalog: Catalog, permission: string): Question["request"] {
  const [desc] = catalog.get(permission)?.requests ?? [];
  return desc && { message: create(desc), desc };
}

/** Templates of everything that a rule can be about. */
export const templatesOf = (catalog: Catalog): string[] => [
  ...new Set([...catalog.values()].flatMap(({ targets }) => targets).flatMap((target) => [target, wholeOf(target)])),
];

/** What a call about several targets is about as a whole: `projects/{project_id}/dcs/instances`. */
const wholeOf = (template: string): string => template.replace(/\/[^/]*$/, "");
