/** Calls and how they ended, for admins. */

import { useQuery } from "@tanstack/react-query";

import { api, ask, type Schemas } from "../api/client";
import { count, duration } from "../format";
import { clean } from "../search";
import { text } from "../text";
import { CsvButton } from "../ui/csv";
import { Card, Columns, Trouble } from "../ui/kit";
import { BehindLink } from "./behind";
import { bucketOf, type UsageRange, type usageQuery } from "./range";

const words = text.usage.calls;
type Read = Schemas["CallFiguresRead"];
type CallFigures = Schemas["CallFigures"];

export function CallEnds({ search, query }: { search: UsageRange; query: ReturnType<typeof usageQuery> }) {
  const asked = clean({ since: query.since, assistant: query.assistant, bucket: bucketOf(search) });
  const found = useQuery({ queryKey: ["usage", "calls", asked], queryFn: () => ask(api.GET("/api/calls/figures", { params: { query: asked } })), placeholderData: (before) => before });
  return (
    <section>
      <h2>{words.title}</h2>
      {found.isError && <Trouble error={found.error} onRetry={() => void found.refetch()} />}
      {found.data && !found.data.figures.calls && <p className="hint">{words.none}</p>}
      {found.data && (found.data.figures.calls ?? 0) > 0 && <Figures of={found.data} search={search} />}
    </section>
  );
}

const mean = ({ seconds, calls, going_on }: CallFigures) => (seconds ?? 0) / Math.max(1, (calls ?? 0) - (going_on ?? 0));

function Figures({ of, search }: { of: Read; search: UsageRange }) {
  const { figures, assistants } = of;
  const reasons = Object.entries(figures.reasons ?? {});
  return (
    <>
      <div className="cards">
        <Card label={words.calls} value={<BehindLink search={search} behind={{}} shown={count(figures.calls)} />} />
        <Card label={words.answered} value={count(figures.answered)} />
        <Card label={words.goingOn} value={count(figures.going_on)} />
        <Card label={words.length} value={duration(mean(figures))} />
        {Object.entries(figures.kinds ?? {}).map(([kind, calls]) => (
          <Card
            key={kind}
            label={text.calls.kinds[kind as keyof typeof text.calls.kinds]}
            value={<BehindLink search={search} behind={{ kind: kind as keyof typeof text.calls.kinds }} shown={count(calls)} />}
          />
        ))}
      </div>
      <div className="pair">
        <div>
          <h3>{words.ends}</h3>
          <CsvButton name="call-ends" columns={[words.reason, words.calls]} rows={() => reasons} />
          <table>
            <tbody>
              {reasons.map(([reason, calls]) => (
                <tr key={reason}>
                  <th scope="row">{reason || text.none}</th>
                  <td>{reason ? <BehindLink search={search} behind={{ reason }} shown={count(calls)} /> : count(calls)}</td>
                  <td>{share(calls, figures.calls)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <div>
          <h3>{words.byAssistant}</h3>
          <CsvButton
            name="calls-by-assistant"
            columns={[text.usage.groups.assistant, words.calls, words.answered, words.goingOn, words.seconds]}
            rows={() => assistants.map(({ assistant, figures: one }) => [assistant ?? "", one.calls ?? 0, one.answered ?? 0, one.going_on ?? 0, one.seconds ?? 0])}
          />
          <table>
            <Columns titles={[text.usage.groups.assistant, words.calls, words.answered, words.length]} />
            <tbody>
              {assistants.map(({ assistant, figures: one }) => (
                <tr key={assistant}>
                  <th scope="row">{assistant || text.calls.defaultAssistant}</th>
                  <td>{assistant ? <BehindLink search={search} behind={{ assistant }} shown={count(one.calls)} /> : count(one.calls)}</td>
                  <td>{count(one.answered)}</td>
                  <td>{duration(mean(one))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </>
  );
}

export const share = (part: number, whole: number | undefined) => `${Math.round((part / Math.max(1, whole ?? 0)) * 1000) / 10} %`;
