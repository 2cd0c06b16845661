import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import type { SectionReader } from "../core/section-reader.ts";
import type { Target } from "../core/target.ts";
import { arcgis } from "./arcgis/index.ts";
import { cse } from "./cse/index.ts";
import { dcs } from "./dcs/index.ts";
import { ddm } from "./ddm/index.ts";
import { kubernetesOfKubeconfig } from "./kubernetes/config.ts";
import { kubernetes } from "./kubernetes/index.ts";

/** THE list: every target that there is. Nothing outside its folder names one but this file. */
export const TARGETS: readonly Target[] = [kubernetes, arcgis, cse, dcs, ddm];

/** The configuration that `--kubeconfig FILE` is short for. */
export const sectionsOfKubeconfig = (file: string, reader: SectionReader): MessageInitShape<typeof ConfigSchema> => ({
  kubernetes: kubernetesOfKubeconfig(file, reader),
});
