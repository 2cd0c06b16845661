import { type DescField, type DescMessage, getOption, hasOption, type Message } from "@bufbuild/protobuf";
import { buildPath, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { Violation } from "@bufbuild/protovalidate";
import {
  FieldRulesSchema,
  field as fieldRules,
  RepeatedRulesSchema,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const RULE = buildPath(FieldRulesSchema)
  .field(FieldRulesSchema.field.repeated)
  .field(RepeatedRulesSchema.field.maxItems)
  .toPath();

/**
 * The lists of a request that have more items than its schema allows (`repeated.max_items`), as the validator would say it. To be asked
 * before the validator is: that looks at every item, and says of each what is wrong with it.
 */
export const tooManyItems = (desc: DescMessage, message: Message): Violation[] => longLists(reflect(desc, message), []);

function longLists(message: ReflectMessage, above: readonly DescField[]): Violation[] {
  return message.fields
    .filter((field) => message.isSet(field))
    .flatMap((field) => {
      const path = [...above, field];
      if (field.fieldKind === "message") return longLists(message.get(field), path);
      if (field.fieldKind !== "list") return [];
      const max = maxItemsOf(field);
      return message.get(field).size > max
        ? [new Violation(`must contain no more than ${max} item(s)`, "repeated.max_items", path, RULE, false)]
        : [];
    });
}

const known = new WeakMap<DescField, number>();

function maxItemsOf(field: DescField): number {
  const max = known.get(field) ?? readMaxItems(field);
  known.set(field, max);
  return max;
}

function readMaxItems(field: DescField): number {
  const { type } = hasOption(field, fieldRules) ? getOption(field, fieldRules) : {};
  return type?.case === "repeated" && type.value.maxItems > 0n ? Number(type.value.maxItems) : Number.POSITIVE_INFINITY;
}
