import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { HEALTH_SERVICE } from "../../src/health/health.ts";
import { TARGETS } from "../../src/targets/index.ts";

/**
 * All that a client written elsewhere can know of the API, as `protoc --descriptor_set_out --include_imports` writes it: every service of
 * every target, operations, health, and the messages that error details hold. Files stand after those that they import.
 */
export function descriptorSet(): Uint8Array {
  const services = [...TARGETS.flatMap((target) => target.services), ServerService, Operations, HEALTH_SERVICE];
  const { files } = schemaOf(services);
  const ordered = new Set<DescFile>();
  const add = (file: DescFile): void => {
    file.dependencies.forEach(add);
    ordered.add(file);
  };
  files.forEach(add);
  const set = create(FileDescriptorSetSchema, { file: [...ordered].map(({ proto }) => proto) });
  return toBinary(FileDescriptorSetSchema, set);
}
