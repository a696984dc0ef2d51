/** The page's markup. It holds fixed text only: the view adds text from outside, as text. */

const MICROPHONE_ICON = `
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" aria-hidden="true">
    <rect x="9" y="3" width="6" height="11" rx="3" fill="currentColor" stroke="none" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M9 21h6" />
    <path class="pb-slash" d="M4 3l16 18" />
  </svg>`;

const SEND_ICON = `
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    <path d="M5 12h13M12.5 6l6 6-6 6" />
  </svg>`;

/** Two jacks and the cord between them. */
const MARK = `
  <svg class="pb-mark" viewBox="0 0 40 28" fill="none" aria-hidden="true">
    <path class="pb-cord" d="M8 8c0 24 24 24 24 0" stroke-width="3" stroke-linecap="round" />
    <circle cx="8" cy="8" r="5.5" stroke="currentColor" stroke-width="3" />
    <circle cx="32" cy="8" r="5.5" stroke="currentColor" stroke-width="3" />
  </svg>`;

export const MARKUP = `
  <header class="pb-header">
    <h1>${MARK} Patchbay</h1>
    <p id="models" data-testid="models" class="pb-models"></p>
    <details class="pb-hint" hidden><summary>Set-up</summary><p id="hint" data-testid="hint"></p></details>
  </header>

  <section class="pb-stage" aria-label="Call">
    <button id="talk" data-testid="talk" type="button" class="pb-talk" aria-label="Talk" aria-pressed="false"
      aria-describedby="talk-caption">${MICROPHONE_ICON}</button>
    <p class="pb-state">
      <span class="pb-bars" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>
      <span id="state" data-testid="state"></span>
    </p>
    <p id="talk-caption" class="pb-caption"></p>
    <button id="end" data-testid="end" type="button" class="pb-plain pb-end" hidden>End<span class="pb-wide"> call</span></button>
  </section>

  <section class="pb-conversation" aria-label="Conversation">
    <div class="pb-scroll" tabindex="0" role="group" aria-label="What was said">
      <p class="pb-empty">Say hello, or type a question below.<br />What is said appears here as it is spoken.</p>
      <div id="log" data-testid="log" role="log" aria-live="polite" aria-relevant="additions" aria-label="Transcript"></div>
    </div>
    <div class="pb-notice" hidden>
      <p id="notice" data-testid="notice" role="status"></p>
      <button id="restart" data-testid="restart" type="button" class="pb-plain pb-restart" hidden>Start again</button>
    </div>
    <form class="pb-leave" data-testid="leave-message" aria-label="Leave a message" hidden>
      <label for="leave-text">Would you rather not wait? Leave a message.</label>
      <textarea id="leave-text" data-testid="leave-text" rows="2" maxlength="2000" required></textarea>
      <label for="leave-contact">How can we reach you?</label>
      <input id="leave-contact" data-testid="leave-contact" type="text" maxlength="200" placeholder="Telephone number or e-mail address" required />
      <button data-testid="leave-send" type="submit" class="pb-plain">Leave message</button>
    </form>
    <form class="pb-form">
      <label for="text" class="pb-hidden">Message</label>
      <input id="text" data-testid="text" name="text" type="text" maxlength="1000" autocomplete="off" enterkeyhint="send"
        placeholder="Type a message" />
      <button id="send" data-testid="send" type="submit" class="pb-send">Send ${SEND_ICON}</button>
    </form>
  </section>`;
