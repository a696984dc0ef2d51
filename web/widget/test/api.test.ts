import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, expect, test } from "vitest";

import { parseReply, Refused, requestDemo, requestToken, Unreachable, wantedAssistant } from "../src/api";

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Starts a server on a free loopback port and returns its address. */
async function serve(answer: Answer): Promise<string> {
  const started = createServer(answer);
  server = started;
  await new Promise<void>((resolve) => started.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

test("a token is requested with a JSON post", async () => {
  const seen: string[] = [];
  const url = await serve((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers["content-type"]}`);
    json(201, { server_url: "ws://voice", participant_token: "t" })(request, response);
  });
  expect(await requestToken({ server: url })).toEqual({ serverUrl: "ws://voice", token: "t", continuation: "" });
  expect(seen).toEqual(["POST /token application/json"]);
});

test("a token for the room of before brings the continuation along", async () => {
  let sent = "";
  const url = await serve((request, response) => {
    request.on("data", (piece: Buffer) => (sent += piece.toString()));
    request.on("end", () =>
      json(201, { server_url: "ws://voice", participant_token: "t", continuation: "mine" })(request, response),
    );
  });
  expect((await requestToken({ server: url }, "earlier")).continuation).toBe("mine");
  expect(JSON.parse(sent)).toEqual({ continuation: "earlier" });
});

test("the page's address names the assistant", async () => {
  let sent = "";
  const url = await serve((request, response) => {
    request.on("data", (piece: Buffer) => (sent += piece.toString()));
    request.on("end", () => json(201, { server_url: "ws://voice", participant_token: "t" })(request, response));
  });
  await requestToken({ server: url, assistant: wantedAssistant("?lang=en&assistant=front-desk") });
  expect(JSON.parse(sent)).toEqual({ assistant: "front-desk" });
  expect(wantedAssistant("")).toBeUndefined();
});

test("a refusal carries the server's detail", async () => {
  const url = await serve(json(429, { title: "Too many", detail: "Ten a minute." }, { "retry-after": "20" }));
  const refusal = await requestToken({ server: url }).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(Refused);
  expect(refusal).toMatchObject({ status: 429, detail: "Ten a minute.", retryAfter: 20 });
});

test("a refusal without a readable body is still a refusal", async () => {
  const url = await serve((_, response) => response.writeHead(403).end("<html>"));
  expect(await requestToken({ server: url }).catch((error: unknown) => error)).toMatchObject({ status: 403, detail: "", retryAfter: null });
});

test("a dead server is unreachable", async () => {
  const url = await serve(json(200, {}));
  await new Promise((resolve) => server?.close(resolve));
  await expect(requestToken({ server: url })).rejects.toBeInstanceOf(Unreachable);
});

test.each([[null], [[]], ["text"], [{ server_url: 1, participant_token: "t" }]])("%j is no token", async (body) => {
  const url = await serve(json(200, body));
  await expect(requestToken({ server: url })).rejects.toBeInstanceOf(Unreachable);
});

test("the built-in responder is not counted among the models", async () => {
  const url = await serve(
    json(200, {
      language: "de",
      offline: false,
      connections: [{ name: "local", model: "tiny", provider: "openai_compatible" }, { name: "offline", provider: "offline" }, 7],
    }),
  );
  expect(await requestDemo(url)).toEqual({ language: "de", offline: false, responder: false, warnings: [], models: [{ name: "local", model: "tiny" }] });
});

test("a note is read as the agent sends it", () => {
  const note = '{"connection":"a","model":"m","first_word_ms":212,"first_word_from":"b","took_over_from":["b"],"last_resort":false}';
  expect(parseReply(note)).toEqual({ connection: "a", model: "m", firstWordMs: 212, firstWordFrom: "b", tookOverFrom: ["b"], lastResort: false });
});

test.each(["", "not json", "null", "[]", "{}", '{"connection":7}'])("%j is no note", (text) => {
  expect(parseReply(text)).toBeNull();
});

test("a note with odd parts keeps its readable parts", () => {
  expect(parseReply('{"connection":"a","first_word_ms":null,"took_over_from":[1,"b"]}')).toEqual({
    connection: "a",
    model: "",
    firstWordMs: null,
    firstWordFrom: "",
    tookOverFrom: ["b"],
    lastResort: false,
  });
});
