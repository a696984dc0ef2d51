/** Asks before something is deleted. */

import type { UseMutationResult } from "@tanstack/react-query";

import { text } from "../text";
import { Button, Dialog, Trouble } from "./kit";

interface ConfirmProps {
  title: string;
  children: string;
  removal: UseMutationResult<unknown, Error, void>;
  onClose: () => void;
}

export function ConfirmRemoval({ title, children, removal, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{children}</p>
      {removal.isError && <Trouble error={removal.error} />}
      <footer>
        <Button onClick={onClose}>{text.cancel}</Button>
        <Button kind="danger" disabled={removal.isPending} onClick={() => removal.mutate()}>
          {text.remove}
        </Button>
      </footer>
    </Dialog>
  );
}
