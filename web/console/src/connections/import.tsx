/** Imports a file of connections: the plan is shown, and exactly that plan is applied. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type DragEvent } from "react";

import { api, ask, type Schemas } from "../api/client";
import { text } from "../text";
import { Button, Dialog, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { shown } from "../values";
import { KEY } from "./queries";

type Plan = Schemas["ConnectionApplyResult"];

const words = text.file;

function apply(file: string, query: { dry_run: true } | { plan: string }): Promise<Plan> {
  return ask(api.POST("/api/connections/apply", { params: { query }, body: file as never, bodySerializer: (body) => body as unknown as string }));
}

export function ImportFile({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const [file, setFile] = useState("");
  const plan = useMutation({ mutationFn: (content: string) => apply(content, { dry_run: true }) });
  const doing = useMutation({
    mutationFn: (shownPlan: Plan) => apply(file, { plan: shownPlan.plan }),
    onSuccess: () => {
      toasts.say(words.applied);
      onClose();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  async function read(given: File | undefined) {
    if (!given) return;
    const content = await given.text();
    setFile(content);
    plan.mutate(content);
  }
  const drop = (event: DragEvent) => {
    event.preventDefault();
    void read(event.dataTransfer.files[0]);
  };
  const steps = plan.data ? plan.data.added.length + plan.data.changed.length : 0;
  return (
    <Dialog title={words.title} onClose={onClose} wide>
      <div className="drop" onDrop={drop} onDragOver={(event) => event.preventDefault()}>
        <p>{words.drop}</p>
        <label className="button plain">
          {words.choose}
          <input type="file" className="hidden" accept=".json,.jsonc,application/json" onChange={(event) => void read(event.target.files?.[0])} />
        </label>
      </div>
      {plan.isError && <Trouble error={plan.error} />}
      {plan.data && <PlanTable plan={plan.data} />}
      {doing.isError && <Trouble error={doing.error} onRetry={() => plan.mutate(file)} />}
      <footer>
        <Button onClick={onClose}>{text.cancel}</Button>
        <Button kind="main" disabled={!steps || doing.isPending} onClick={() => plan.data && doing.mutate(plan.data)}>
          {words.apply}
        </Button>
      </footer>
    </Dialog>
  );
}

function PlanTable({ plan }: { plan: Plan }) {
  if (!plan.added.length && !plan.changed.length) return <p>{words.nothing}</p>;
  return (
    <>
      <p>{words.plan(plan.added.length, plan.changed.length, plan.unchanged.length)}</p>
      <ul className="plan">
        {plan.added.map((name) => (
          <li key={name}>+ {name}</li>
        ))}
        {plan.changed.map((change) => (
          <li key={change.id}>
            ~ {change.name}
            <ul>
              {Object.entries(change.fields).map(([field, { before, after }]) => (
                <li key={field}>
                  {field}: <del>{shown(before)}</del> → <ins>{shown(after)}</ins>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </>
  );
}
