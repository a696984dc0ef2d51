// Continue's schema of its configuration, and its own adapter, against the gateway.
import assert from "node:assert/strict";
import { configYamlSchema } from "@continuedev/config-yaml";
import { constructLlmApi } from "@continuedev/openai-adapters";
import { parse } from "yaml";

const config = configYamlSchema.parse(parse(process.env.EXAMPLE));
const [{ provider, model, apiBase, apiKey }] = config.models;
const api = constructLlmApi({ provider, apiBase, apiKey });
const body = { model, messages: [{ role: "user", content: "When do you open?" }] };
const { signal } = new AbortController();

const models = await api.list();
assert.ok(models.some(({ id }) => id === model));

const whole = await api.chatCompletionNonStream({ ...body, stream: false }, signal);
assert.equal(whole.choices[0].message.content, process.env.WORDS);

let said = "";
for await (const chunk of api.chatCompletionStream({ ...body, stream: true }, signal)) {
  said += chunk.choices[0]?.delta.content ?? "";
}
assert.equal(said, process.env.WORDS);
console.log("well");
