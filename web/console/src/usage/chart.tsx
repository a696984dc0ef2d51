/** Draws one measure over time. */

import { compact, cost, count, seconds, time } from "../format";
import { text } from "../text";
import type { Bar, Measure } from "./series";

const WIDTH = 20;
const HEIGHT = 120;
const words = text.usage;

const WRITTEN: Record<Measure, (value: number) => string> = { attempts: count, first: seconds, silence: seconds, tokens: compact, cost };

export function Chart({ items, measure }: { items: readonly Bar[]; measure: Measure }) {
  const most = Math.max(...items.map(({ whole }) => whole), 0) || 1;
  const high = (value: number) => (value / most) * HEIGHT;
  const written = WRITTEN[measure];
  const [whole, part] = words.measureParts[measure];
  return (
    <figure className="chart">
      <svg className="bars tall" role="img" aria-label={words.chart(words.measures[measure])} viewBox={`0 0 ${items.length * WIDTH} ${HEIGHT}`} preserveAspectRatio="none">
        {items.map((bar, index) => (
          <g key={bar.at}>
            <title>{`${time(bar.at)}: ${whole} ${written(bar.whole)}${part ? `, ${part} ${written(bar.part)}` : ""}`}</title>
            <rect className="good" x={index * WIDTH + 2} width={WIDTH - 4} y={HEIGHT - high(bar.whole)} height={high(bar.whole)} />
            <rect className={measure === "attempts" ? "bad" : "front"} x={index * WIDTH + 2} width={WIDTH - 4} y={HEIGHT - high(bar.part)} height={high(bar.part)} />
          </g>
        ))}
      </svg>
      <figcaption>
        <span>{time(items[0]?.at)}</span>
        <span>{words.most(`${whole} ${written(most)}`)}</span>
        <span>{time(items.at(-1)?.at)}</span>
      </figcaption>
    </figure>
  );
}
