import { type CelInput, celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import type { Registry } from "@bufbuild/protobuf";
import { checkExpression, type Scope } from "./check.ts";

/** What an expression finds: a boolean, or what went wrong, without the values that it looked at: they are callers'. */
export type Evaluate = (bindings: Readonly<Record<string, CelInput>>) => boolean | Error;

/** An expression that was understood, or everything that is wrong with it. */
export type Expression =
  | { readonly evaluate: Evaluate; readonly wrong?: undefined }
  | { readonly evaluate?: undefined; readonly wrong: readonly string[] };

/** Longer expressions are nobody's: what one costs grows with it. */
const MAX_LENGTH = 2_000;

/**
 * Compiles a condition. The library checks no names and no types, so that mistakes would show when a call is judged: here they show at
 * the start (check.ts). Standard functions alone: those on strings can be made to take seconds.
 *
 * @param registry knows the messages that the expression may look into.
 */
export function compileExpression(text: string, scope: Scope, registry: Registry): Expression {
  if (text.length > MAX_LENGTH)
    return { wrong: [`must have at most ${MAX_LENGTH} characters, but has ${text.length}`] };
  try {
    const parsed = parse(text);
    const wrong = checkExpression(parsed.expr, scope);
    if (wrong.length > 0) return { wrong };
    const run = plan(celEnv({ registry }), parsed) as (bindings: Readonly<Record<string, CelInput>>) => unknown;
    return {
      evaluate(bindings) {
        const value = run(bindings);
        if (typeof value === "boolean") return value;
        return new Error(isCelError(value) ? withoutValues(value.message, text) : "it is not true or false");
      },
    };
  } catch (error) {
    return { wrong: [`is not CEL: ${error instanceof Error ? error.message : String(error)}`] };
  }
}

/** The library's message where that is made of the expression's own words and of types: others quote values. */
function withoutValues(message: string, text: string): string {
  const missing = /^field not found: (\w+)$/.exec(message)?.[1];
  const known = missing !== undefined && text.split(/\W+/).includes(missing);
  return known || /^found no matching overload for '[^']*' applied to '[^']*'$/.test(message)
    ? message
    : "it cannot be computed with what a call or its credential says";
}
