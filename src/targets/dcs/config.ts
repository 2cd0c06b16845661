import type { Config } from "../../../gen/restart/config/v1/config_pb.ts";
import { type HuaweicloudSettings, readHuaweicloud } from "../../clouds/huawei/config.ts";
import type { SectionReader } from "../../core/section-reader.ts";

/** What DCS reads of the configuration: the section `huaweicloud`, which it shares with CSE and DDM. */
export const readDcs = ({ huaweicloud }: Config, reader: SectionReader): HuaweicloudSettings =>
  readHuaweicloud(huaweicloud, reader);
