/** A small page in React with the widget on it. */

import { StrictMode, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

import { Patchbay, type PatchbayWidget } from "../src/index.ts";

function App() {
  const widget = useRef<PatchbayWidget>(null);
  const [state, setState] = useState("closed");
  return (
    <main>
      <h1>Tea</h1>
      <button type="button" onClick={() => widget.current?.open()}>
        Any questions?
      </button>
      <p>The conversation is {state}.</p>
      <Patchbay
        ref={widget}
        server="https://voice.example"
        site="site_2Vt7mBq0yYkq3nGm8XcZ"
        label="Ask the tea shop"
        onOpen={() => setState("open")}
        onClose={() => setState("closed")}
        onPhase={(phase) => setState(phase)}
      />
    </main>
  );
}

const root = document.getElementById("app");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
