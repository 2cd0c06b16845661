import { createRegistry, type DescFile, type DescService, type Registry } from "@bufbuild/protobuf";
import {
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { file_google_rpc_code } from "../../gen/google/rpc/code_pb.ts";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.ts";
import { withDependencies } from "./dependencies.ts";

export { withDependencies };

/** Everything that a client of some services may have to know the shape of. */
export interface Schema {
  /** The services that are served, in the order of registration. */
  readonly services: readonly DescService[];
  /** The files of the services, those of every message that a detail or an Any may hold, and all that these import. */
  readonly files: readonly DescFile[];
  /** Every message, enum, extension and service of {@link files}. */
  readonly registry: Registry;
}

/** Files of the messages that no rpc names: they travel in details and in google.protobuf.Any. */
const CARRIED: readonly DescFile[] = [
  file_google_rpc_code,
  file_google_rpc_error_details,
  file_google_rpc_status,
  file_buf_validate_validate,
  file_google_protobuf_any,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
];

/** Gathers the schema of some services from their descriptors. */
export function schemaOf(services: readonly DescService[]): Schema {
  const files = withDependencies([...services.map(({ file }) => file), ...CARRIED]);
  return { services, files, registry: createRegistry(...files) };
}
