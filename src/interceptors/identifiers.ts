import { type DescField, type DescMessage, getOption, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Interceptor } from "@connectrpc/connect";
import { uuid_ignores_case } from "../../gen/restart/options/v1/identifier_pb.ts";
import { lowerCaseId } from "../core/lower-case-id.ts";

/**
 * Writes the identifiers of a request in the one form in which they are compared, where the schema says that letter case means nothing
 * in them: everything after it (rules, names of targets, the hash of a request, what is sent) sees one name for one thing.
 */
export const identifiers: Interceptor = (next) =>
  function identifiers(req) {
    if (!req.stream) rewrite(req.method.input, req.message);
    return next(req);
  };

function rewrite(desc: DescMessage, message: Message): void {
  const fields = fieldsOf(desc);
  if (fields.length === 0) return;
  const reflected = reflect(desc, message);
  for (const field of fields) {
    if (field.fieldKind === "list") {
      const list = reflected.get(field);
      for (const [index, id] of [...list].entries()) list.set(index, lowerCaseId(String(id)));
    } else if (reflected.isSet(field)) {
      reflected.set(field, lowerCaseId(String(reflected.get(field))));
    }
  }
}

const known = new WeakMap<DescMessage, readonly DescField[]>();

/** The fields of a message that the schema says it of. */
function fieldsOf(desc: DescMessage): readonly DescField[] {
  const fields = known.get(desc) ?? desc.fields.filter((field) => getOption(field, uuid_ignores_case));
  known.set(desc, fields);
  return fields;
}
