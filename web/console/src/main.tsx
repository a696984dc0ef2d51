import "./style.css";

import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/client";
import { router } from "./router";
import { noticeSignOut, Session } from "./session";
import { ToastArea } from "./ui/toasts";

const MOST_TRIES = 2;

const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: (error) => noticeSignOut(error, queries) }),
  mutationCache: new MutationCache({ onError: (error) => noticeSignOut(error, queries) }),
  defaultOptions: {
    // A browser that takes itself for offline waits in silence otherwise, also for this machine.
    mutations: { networkMode: "always" },
    queries: {
      networkMode: "always",
      staleTime: 5_000,
      // An answer is an answer; only a server that does not answer is asked again.
      retry: (failures, error) => failures < MOST_TRIES && error instanceof Problem && (error.status === 0 || error.status >= 500),
    },
  },
});

createRoot(document.getElementById("console") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <ToastArea>
        <Session>
          <RouterProvider router={router} />
        </Session>
      </ToastArea>
    </QueryClientProvider>
  </StrictMode>,
);
