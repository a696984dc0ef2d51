import type { TestResult } from "../api/client";
import { seconds } from "../format";
import { text } from "../text";

const words = text.editor;

/** Says how a test went: the reply and its first word, or what is wrong and what to do. */
export function TestReport({ result }: { result: TestResult }) {
  if (!result.ok) {
    return (
      <div className="trouble" role="alert">
        <p>
          {words.failed}: {result.failure?.reason}
        </p>
        {result.failure?.advice && <p>{result.failure.advice}</p>}
        {result.notice && <p>{result.notice}</p>}
      </div>
    );
  }
  return (
    <div className="good-news" role="status">
      <p>{words.worked(seconds(result.first_word))}</p>
      {result.text && (
        <p>
          {words.replied}: <q>{result.text}</q>
        </p>
      )}
      {result.server && <p>{words.detected(result.server)}</p>}
      {result.notice && <p>{result.notice}</p>}
    </div>
  );
}
