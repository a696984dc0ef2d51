// openai-node against the gateway: its own accumulator joins streams of text, tools and usage.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.KEY });
const model = "auto";
const messages = [{ role: "user", content: "When do you open?" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

const whole = await client.chat.completions.create({ model, messages });
assert.equal(whole.choices[0].message.content, process.env.WORDS);
assert.equal(whole.choices[0].finish_reason, "stop");
assert.ok(whole.usage.completion_tokens > 0);

const stream = client.chat.completions.stream({
  model,
  messages,
  stream_options: { include_usage: true },
});
let said = "";
stream.on("content", (piece) => (said += piece));
const joined = await stream.finalChatCompletion();
assert.equal(said, process.env.WORDS);
assert.equal(joined.choices[0].message.content, process.env.WORDS);
assert.ok((await stream.totalUsage()).completion_tokens > 0);

// Two calls at a time, each whole: the accumulator joins them by their index.
const calling = client.chat.completions.stream({
  model,
  messages: [{ role: "user", content: "Is it warm in 'Zürich'?" }],
  tools,
});
const { message, finish_reason } = (await calling.finalChatCompletion()).choices[0];
assert.equal(finish_reason, "tool_calls");
assert.equal(message.tool_calls.length, 2);
assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2);
for (const call of message.tool_calls) {
  assert.equal(call.type, "function");
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Zürich" });
}

// The loop of a tool runner: the call, the tool itself, its result, the answer.
const cities = [];
const runner = client.chat.completions.runTools({
  model,
  messages: [{ role: "user", content: "Is it warm in 'Zürich'?" }],
  stream: true,
  tools: [
    {
      type: "function",
      function: {
        name: "get_weather",
        parameters,
        parse: JSON.parse,
        function: ({ city }) => cities.push(city) && "It is warm.",
      },
    },
  ],
});
assert.equal(await runner.finalContent(), process.env.WORDS);
assert.deepEqual(cities, ["Zürich", "Zürich"]);

const unknown = await client.chat.completions
  .create({ model: "nothing", messages })
  .catch((error) => error);
assert.ok(unknown instanceof OpenAI.NotFoundError);
assert.equal(unknown.code, "model_not_found");
assert.ok(unknown.requestID === null || unknown.requestID.length > 0);

const names = [];
for await (const one of client.models.list()) names.push(one.id);
assert.ok(names.includes("auto") && names.includes("desk"));
console.log("well");
