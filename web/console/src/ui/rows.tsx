/** A table that holds only the rows in view, however many there are. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, type ReactNode } from "react";

import { Columns } from "./kit";

const ROW = 44;
const BEYOND = 12;

interface RowsProps<T> {
  label: string;
  columns: ReactNode[];
  items: readonly T[];
  row: (item: T) => ReactNode;
  /** Called when the last row comes into view. */
  onEnd?: (() => void) | undefined;
}

export function Rows<T>({ label, columns, items, row, onEnd }: RowsProps<T>) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: BEYOND });
  const shown = rows.getVirtualItems();
  const first = shown[0];
  const last = shown.at(-1);
  const isAtEnd = last !== undefined && last.index >= items.length - 1;
  useEffect(() => {
    if (isAtEnd) onEnd?.();
  }, [isAtEnd, items.length, onEnd]);
  return (
    <div className="rows" ref={box} tabIndex={0} role="region" aria-label={label}>
      <table aria-rowcount={items.length}>
        <Columns titles={columns} />
        <tbody>
          {first && first.start > 0 && <Gap height={first.start} columns={columns.length} />}
          {shown.map(({ index, key }) => (
            <tr key={key}>{row(items[index] as T)}</tr>
          ))}
          {last && <Gap height={rows.getTotalSize() - last.end} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  );
}

function Gap({ height, columns }: { height: number; columns: number }) {
  if (height <= 0) return null;
  return (
    <tr aria-hidden>
      <td colSpan={columns} className="gap" style={{ height }} />
    </tr>
  );
}
