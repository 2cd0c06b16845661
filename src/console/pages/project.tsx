import { createClient } from "@connectrpc/connect";
import type { Project } from "../../../gen/restart/huaweicloud/v1/project_pb.ts";
import { ProjectService } from "../../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { usePoll } from "../api/poll.ts";
import { transport } from "../api/transport.ts";
import { Known } from "../parts/known.tsx";
import { Page, Section } from "../parts/page.tsx";
import { Table } from "../parts/table.tsx";
import { ROOT, urlOf } from "../router.ts";
import { TARGETS } from "../targets/index.ts";

const client = createClient(ProjectService, transport);

const nameOf = ({ projectId }: Pick<Project, "projectId">): string => `projects/${encodeURIComponent(projectId)}`;

/** The configured projects of Huawei Cloud, which several targets share. */
export function Projects() {
  const polled = usePoll("projects", {
    everyMs: 10_000,
    ask: (signal) => client.listProjects({ pageSize: 1000 }, { signal }),
  });
  return (
    <Section title="Huawei Cloud">
      <Known
        polled={polled}
        show={(answer) => (
          <Table<Project>
            name="Projects"
            rows={answer?.projects}
            nameOf={nameOf}
            empty="No projects."
            columns={[
              {
                title: "Project",
                share: 2.2,
                names: true,
                cell: (row) => <a href={urlOf(nameOf(row))}>{row.name || row.projectId}</a>,
              },
              { title: "Region", share: 1.2, cell: ({ region }) => region },
              { title: "Services", share: 1.1, cell: ({ services }) => services.join(", ") },
            ]}
          />
        )}
      />
    </Section>
  );
}

/** One project: each service with its own state, so that one that is down hides no other. */
export function ProjectPage({ segments: [, projectId = ""] }: { readonly segments: readonly string[] }) {
  return (
    <Page title={projectId} above={<a href={ROOT}>Huawei Cloud</a>}>
      {TARGETS.map(({ OfProject }, index) => OfProject && <OfProject key={index} projectId={projectId} />)}
    </Page>
  );
}
