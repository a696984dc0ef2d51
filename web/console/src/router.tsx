/** The pages and their addresses. The filters of a list are part of its address. */

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";

import { callFilters } from "./calls/filters";
import { studioView } from "./chat/filters";
import { connectionFilters } from "./connections/filters";
import { Frame } from "./frame";
import { text } from "./text";
import { Empty, Trouble } from "./ui/kit";
import { usageRange } from "./usage/range";

const root = createRootRoute({
  component: Frame,
  notFoundComponent: () => <Empty>{text.error.none}</Empty>,
  errorComponent: ({ error, reset }) => <Trouble error={error as Error} onRetry={reset} />,
});

const start = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/connections" });
  },
});

export const connectionsRoute = createRoute({
  getParentRoute: () => root,
  path: "/connections",
  validateSearch: connectionFilters,
  component: lazyRouteComponent(() => import("./connections/list"), "ConnectionList"),
});

export const connectionRoute = createRoute({
  getParentRoute: () => root,
  path: "/connections/$id",
  component: lazyRouteComponent(() => import("./connections/detail"), "ConnectionPage"),
});

export const callsRoute = createRoute({
  getParentRoute: () => root,
  path: "/calls",
  validateSearch: callFilters,
  component: lazyRouteComponent(() => import("./calls/board"), "CallBoard"),
});

export const callRoute = createRoute({
  getParentRoute: () => root,
  path: "/calls/$id",
  component: lazyRouteComponent(() => import("./calls/call"), "CallPage"),
});

export const waitsRoute = createRoute({
  getParentRoute: () => root,
  path: "/waits",
  component: lazyRouteComponent(() => import("./calls/waits"), "WaitsPage"),
});

export const usageRoute = createRoute({
  getParentRoute: () => root,
  path: "/usage",
  validateSearch: usageRange,
  component: lazyRouteComponent(() => import("./usage/page"), "UsagePage"),
});

export const chatRoute = createRoute({
  getParentRoute: () => root,
  path: "/chat",
  validateSearch: studioView,
  component: lazyRouteComponent(() => import("./chat/page"), "ChatStudio"),
});

export const assistantsRoute = createRoute({
  getParentRoute: () => root,
  path: "/assistants",
  component: lazyRouteComponent(() => import("./assistants/list"), "AssistantList"),
});

export const assistantRoute = createRoute({
  getParentRoute: () => root,
  path: "/assistants/$name",
  component: lazyRouteComponent(() => import("./assistants/page"), "AssistantPage"),
});

export const sitesRoute = createRoute({
  getParentRoute: () => root,
  path: "/sites",
  component: lazyRouteComponent(() => import("./sites/page"), "SitesPage"),
});

export const phoneRoute = createRoute({
  getParentRoute: () => root,
  path: "/phone",
  component: lazyRouteComponent(() => import("./phone/page"), "PhonePage"),
});

export const router = createRouter({
  basepath: "/ai-compute",
  routeTree: root.addChildren([start, connectionsRoute, connectionRoute, callsRoute, callRoute, waitsRoute, usageRoute, chatRoute, assistantsRoute, assistantRoute, sitesRoute, phoneRoute]),
  defaultPreload: "intent",
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
