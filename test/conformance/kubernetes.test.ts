import { kubernetesSubject } from "./subjects/kubernetes.ts";
import { conformance } from "./suite.ts";

conformance(kubernetesSubject);
