import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask, type Schemas } from "../api/client";
import { text } from "../text";
import { Button, Dialog, Field, Trouble } from "../ui/kit";
import { useToasts } from "../ui/toasts";
import { KEY } from "./queries";

type Preset = Schemas["PresetRead"];

/** Offers the sets of connections to begin with. */
export function Presets() {
  const presets = useQuery({ queryKey: ["presets"], queryFn: () => ask(api.GET("/api/presets")) });
  const [opened, setOpened] = useState<Preset | null>(null);
  return (
    <section>
      <h3>{text.presets.title}</h3>
      <div className="cards">
        {presets.data?.map((preset) => (
          <button key={preset.name} type="button" className="card pick" onClick={() => setOpened(preset)}>
            <strong>{preset.title}</strong>
            <span>{preset.description}</span>
          </button>
        ))}
      </div>
      {opened && <ApplyPreset preset={opened} onClose={() => setOpened(null)} />}
    </section>
  );
}

function ApplyPreset({ preset, onClose }: { preset: Preset; onClose: () => void }) {
  const queries = useQueryClient();
  const toasts = useToasts();
  const [keys, setKeys] = useState<Record<string, string>>({});
  const apply = useMutation({
    mutationFn: () => {
      const given = Object.fromEntries(Object.entries(keys).filter(([, key]) => key));
      return ask(api.POST("/api/presets/{name}/apply", { params: { path: { name: preset.name } }, body: { keys: given } }));
    },
    onSuccess: (made) => {
      toasts.say(text.presets.applied(made.items.length));
      onClose();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: KEY }),
  });
  return (
    <Dialog title={preset.title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          apply.mutate();
        }}
      >
        <p>{preset.description}</p>
        {Object.entries(preset.keys).map(([name, variable]) => (
          <Field key={name} label={`${text.editor.fields.api_key}: ${name}`} hint={text.presets.from(variable)}>
            {(ids) => <input {...ids} type="password" autoComplete="off" value={keys[name] ?? ""} onChange={(event) => setKeys({ ...keys, [name]: event.target.value })} />}
          </Field>
        ))}
        {apply.isError && <Trouble error={apply.error} />}
        <footer>
          <Button onClick={onClose}>{text.cancel}</Button>
          <Button kind="main" type="submit" disabled={apply.isPending}>
            {text.presets.apply}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
