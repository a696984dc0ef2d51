import type { Schemas } from "../api/client";
import { seconds, time } from "../format";
import { text } from "../text";

type Check = Schemas["HealthCheckRead"];

const BAR = 6;
const HEIGHT = 48;
/** Bars that fill the width; fewer leave room for those to come. */
const WIDE = 60;

/** One bar for each check, the oldest first: as high as it took, and in another colour if it failed. */
export function HealthChart({ checks }: { checks: readonly Check[] }) {
  const slowest = Math.max(0.001, ...checks.map((check) => check.latency ?? 0));
  const oldestFirst = checks.toReversed();
  return (
    <svg className="bars" role="img" aria-label={text.detail.health} viewBox={`0 0 ${Math.max(WIDE, oldestFirst.length) * BAR} ${HEIGHT}`} preserveAspectRatio="none">
      {oldestFirst.map((check, index) => {
        const height = check.latency === null ? HEIGHT : Math.max(2, (check.latency / slowest) * HEIGHT);
        return (
          <rect key={check.at} x={index * BAR} y={HEIGHT - height} width={BAR - 1} height={height} className={check.outcome === "ok" ? "good" : "bad"}>
            <title>{`${time(check.at)}: ${check.outcome}, ${seconds(check.latency)}`}</title>
          </rect>
        );
      })}
    </svg>
  );
}
