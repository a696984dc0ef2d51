// Vercel's provider for OpenAI-compatible APIs against the gateway, with its schemas of each chunk.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const patchbay = createOpenAICompatible({
  name: "patchbay",
  baseURL: process.env.BASE_URL,
  apiKey: process.env.KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = patchbay("auto");
const onError = ({ error }) => {
  throw error;
};

const whole = await generateText({ model, prompt: "When do you open?" });
assert.equal(whole.text, process.env.WORDS);
assert.equal(whole.finishReason, "stop");
assert.ok(whole.usage.outputTokens > 0);
assert.deepEqual(whole.warnings, []);

const streamed = streamText({ model, prompt: "When do you open?", onError });
let said = "";
for await (const piece of streamed.textStream) said += piece;
assert.equal(said, process.env.WORDS);
assert.ok((await streamed.usage).outputTokens > 0);
assert.ok((await streamed.usage).inputTokens > 0);

const cities = [];
const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => cities.push(city) && "It is warm.",
});
const stopWhen = stepCountIs(3);
for (const ask of [generateText, streamText]) {
  const told = await ask({
    model,
    prompt: "Is it warm in 'Zürich'?",
    tools: { weather },
    stopWhen,
    onError,
  });
  assert.equal(await told.text, process.env.WORDS);
  assert.equal((await told.steps)[0].toolCalls.length, 2);
}
assert.deepEqual(cities, Array(4).fill("Zürich"));

const schema = z.object({ city: z.string(), degrees: z.number() });
const structured = await generateText({
  model,
  prompt: "How warm is it in 'Zürich'? Above 20?",
  output: Output.object({ schema }),
});
assert.deepEqual(structured.output, { city: "Zürich", degrees: 20 });
console.log("well");
