/** Offers what a table shows as a CSV file. */

import { useState } from "react";

import { csv } from "../format";
import { text } from "../text";
import { Button } from "./kit";
import { useToasts } from "./toasts";

export type CsvRows = (string | number)[][];

interface CsvProps {
  /** Of the file, without its ending. */
  name: string;
  columns: readonly string[];
  /** Makes all rows, also those that are not loaded yet. */
  rows: () => CsvRows | Promise<CsvRows>;
}

export function CsvButton({ name, columns, rows }: CsvProps) {
  const toasts = useToasts();
  const [isBusy, setBusy] = useState(false);
  async function save() {
    setBusy(true);
    try {
      download(name, csv([[...columns], ...(await rows())]));
    } catch (error) {
      toasts.fail(error as Error);
    } finally {
      setBusy(false);
    }
  }
  return (
    <Button kind="link" disabled={isBusy} onClick={() => void save()}>
      {isBusy ? text.loading : text.csv}
    </Button>
  );
}

function download(name: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
