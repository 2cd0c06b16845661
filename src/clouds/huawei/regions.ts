/** What has an address in a region. */
export type Addressed = "cse" | "dcs" | "ddm" | "iam";

/**
 * Regions where a service stands at SERVICE.REGION.myhuaweicloud.com. Source: the region files of Huawei's SDKs, Python 3.1.219 and Go
 * v0.1.207 (services/{iam/v3,cse/v1,dcs/v2,ddm/v1}), as far as nothing contradicts them. Not taken from them:
 *
 * - eu-west-101: see {@link EUROPE};
 * - eu-west-0, my-kualalumpur-1 and ru-moscow-1, which partners run under names of their own (prod-cloud-ocb.orange-business.com,
 *   alphaedge.tmone.com.my, hc.sbercloud.ru).
 */
const REGIONS: Readonly<Record<Addressed, ReadonlySet<string>>> = {
  iam: words(
    "ae-ad-1 af-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 cn-east-2 cn-east-3 cn-east-4 cn-east-5 cn-north-1",
    "cn-north-2 cn-north-4 cn-north-9 cn-north-12 cn-south-1 cn-south-2 cn-southwest-2 la-north-2 la-south-2 me-east-1 na-mexico-1",
    "sa-brazil-1 tr-west-1",
  ),
  cse: words(
    "af-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 cn-east-2 cn-east-3 cn-east-4 cn-east-5 cn-north-1 cn-north-4",
    "cn-north-9 cn-north-11 cn-north-12 cn-south-1 cn-south-2 cn-south-4 cn-southwest-2 cn-southwest-3 la-north-2 la-south-2 me-east-1",
    "ru-northwest-2 sa-brazil-1 tr-west-1",
  ),
  dcs: words(
    "ae-ad-1 af-north-1 af-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 cn-east-2 cn-east-3 cn-east-4",
    "cn-east-5 cn-north-1 cn-north-2 cn-north-4 cn-north-9 cn-north-11 cn-north-12 cn-south-1 cn-south-2 cn-south-4 cn-southwest-2",
    "cn-southwest-3 la-north-2 la-south-2 me-east-1 na-mexico-1 ru-northwest-2 sa-brazil-1 tr-west-1",
  ),
  ddm: words(
    "ae-ad-1 ap-southeast-1 ap-southeast-3 cn-east-2 cn-east-3 cn-north-1 cn-north-4 cn-north-9 cn-south-1 cn-south-2 cn-southwest-2",
    "la-north-2 la-south-2 sa-brazil-1",
  ),
};

/**
 * Regions of Huawei Cloud Europe, which is myhuaweicloud.eu: Huawei's terraform provider says so of every region that begins so, and the
 * SDKs say it of IAM and DDM. Of DCS the SDKs say .com, and of CSE nothing.
 */
const EUROPE = /^eu-west-1\d*$/;
const SURE_IN_EUROPE: ReadonlySet<Addressed> = new Set<Addressed>(["iam", "ddm"]);

/** Where a service is in a region; undefined where that is not known for sure: a secret goes to no host that nobody named. */
export function knownEndpoint(service: Addressed, region: string): string | undefined {
  if (EUROPE.test(region)) {
    return SURE_IN_EUROPE.has(service) ? `https://${service}.${region}.myhuaweicloud.eu` : undefined;
  }
  return REGIONS[service].has(region) ? `https://${service}.${region}.myhuaweicloud.com` : undefined;
}

function words(...lines: string[]): ReadonlySet<string> {
  return new Set(lines.flatMap((line) => line.split(" ")));
}
