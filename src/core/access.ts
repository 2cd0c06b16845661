import { type DescMethod, getOption, hasOption, type Message } from "@bufbuild/protobuf";
import { isReflectList, reflect } from "@bufbuild/protobuf/reflect";
import { type ContextKey, createContextKey } from "@connectrpc/connect";
import { Access_Kind, access as accessOption } from "../../gen/restart/options/v1/access_pb.ts";
import type { Principal } from "./principal.ts";

/** How it is judged who may call a method: restart.options.v1.Access.Kind says what each means. */
export type AccessKind = "target" | "parent" | "each" | "loaded" | "self" | "public";

/** Who may call a method: what its option in the schema says, or for a published service what stands beside its implementation. */
export interface MethodAccess {
  readonly kind: AccessKind;
  /** Empty for `self` and `public`. */
  readonly permission: string;
  /** Templates of the targets; empty for `loaded`, `self` and `public`. */
  readonly targets: readonly string[];
  /** Of `loaded`: whether what a caller may not see is not there for it, so that it is refused by what was read alone. */
  readonly hides?: boolean;
}

/** Of a method of a published service that is judged by what it reads, and hides what the caller may not see. */
export const loaded = (permission: string): MethodAccess => ({ kind: "loaded", permission, targets: [], hides: true });

/** Of a method of a published service that whoever is known may call. */
export const FOR_EVERY_CALLER: MethodAccess = { kind: "self", permission: "", targets: [] };

/** Of a method of a published service that anybody may call. */
export const FOR_ANYBODY: MethodAccess = { kind: "public", permission: "", targets: [] };

const KINDS: Readonly<Record<number, AccessKind>> = {
  [Access_Kind.UNSPECIFIED]: "target",
  [Access_Kind.TARGET]: "target",
  [Access_Kind.PARENT]: "parent",
  [Access_Kind.EACH]: "each",
  [Access_Kind.LOADED]: "loaded",
  [Access_Kind.SELF]: "self",
  [Access_Kind.PUBLIC]: "public",
};

/** What the schema says of who may call a method; undefined when it says nothing. */
export function accessOf(method: DescMethod): MethodAccess | undefined {
  if (!hasOption(method, accessOption)) return undefined;
  const { kind, permission, targets, hides } = getOption(method, accessOption);
  const known = KINDS[kind];
  if (known === undefined) throw new Error(`${method} has a kind of access that is not known: ${kind}`);
  return { kind: known, permission, targets, hides };
}

/**
 * The resource names of what a call is about, or of what an item of an answer is.
 *
 * @param message the request, or for `each` the item; its fields stand in the templates.
 * @throws Error when a template names a field that the message does not have.
 */
export function targetsOf({ kind, targets }: MethodAccess, message: Message, desc: DescMethod["input"]): string[] {
  return targets.flatMap((template) =>
    template
      .split("/")
      .map((segment) => valuesOf(segment, message, desc, kind === "parent"))
      .reduce<string[]>(
        (names, values) => names.flatMap((name) => values.map((value) => (name === "" ? value : `${name}/${value}`))),
        [""],
      ),
  );
}

/** What a segment of a template stands for: one text, or one for each element of a repeated field. */
function valuesOf(segment: string, message: Message, desc: DescMethod["input"], parent: boolean): string[] {
  const name = /^\{(\w+)\}$/.exec(segment)?.[1];
  if (name === undefined) return [segment];
  const reflected = reflect(desc, message);
  const read = (field: string): unknown => {
    const found = desc.fields.find(({ name: known }) => known === field);
    if (found === undefined) throw new Error(`${desc.typeName} has no field ${field}, which a target of it is made of`);
    return reflected.get(found);
  };
  const value = read(name);
  if (isReflectList(value)) return [...value].map((element) => encodeURIComponent(String(element)));
  const text = String(value);
  if (text !== "") return [encodeURIComponent(text)];
  // An empty group is the core group; of a list it is also what is left out together with version and resource.
  const isCore = name === "group" && !(parent && read("version") === "" && read("resource") === "");
  return [isCore ? "core" : parent ? "-" : ""];
}

/** What the rules say to one question. */
export interface Decision {
  readonly allowed: boolean;
  /** `default-deny`: no rule allows it. */
  readonly kind: "allow" | "deny" | "default-deny";
  /** Name of the rule that decided; undefined where none did. */
  readonly rule: string | undefined;
  /** The caller's groups that the rule names. */
  readonly groups: readonly string[];
}

/** What somebody wants to do, and to what. */
export interface Question {
  readonly principal: Principal;
  readonly permission: string;
  /** Resource name. */
  readonly target: string;
  /** The call's request, for rules that look at it; undefined where there is none. */
  readonly request?: { readonly message: Message; readonly desc: DescMethod["input"] } | undefined;
}

/** Who judges what callers may do. */
export interface Authorizer {
  /** Judges one question. */
  authorize(question: Question): Decision;
  /** Whether the rules may allow a permission on anything at all: where not, a call need not even be read. */
  mayEver(principal: Principal, permission: string): boolean;
  /** Whether a permission is allowed on everything, by rules without conditions, so that no more need be asked. */
  mayAlways(principal: Principal, permission: string): boolean;
  /** What a reason has to be like for what is allowed: every demand that `reason` does not meet, in a sentence each. */
  wrongReasons(permission: string, targets: readonly string[], reason: string): readonly string[];
}

/** Where nobody is asked who they are, everybody may do everything. */
export const EVERYTHING_ALLOWED: Authorizer = {
  authorize: () => ({ allowed: true, kind: "allow", rule: undefined, groups: [] }),
  mayEver: () => true,
  mayAlways: () => true,
  wrongReasons: () => [],
};

/** Where handlers and interceptors find who judges the call. */
export const authorizerKey: ContextKey<Authorizer> = createContextKey<Authorizer>(EVERYTHING_ALLOWED, {
  description: "authorizer",
});

/** Where they find how a call that changes something is taken of its caller's share: it throws when nothing is left. */
export const takeMutationKey: ContextKey<() => void> = createContextKey<() => void>(() => {}, {
  description: "take mutation",
});

/** Where they find what the call's method asks for; undefined where nobody judges. */
export const accessKey: ContextKey<MethodAccess | undefined> = createContextKey<MethodAccess | undefined>(undefined, {
  description: "access",
});
